"""Small files of the kinds that people have: a Word document, a book, a PDF, a page, a crawl."""

import io
import zipfile
from collections.abc import Mapping, Sequence
from html import escape

W = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
MC = "http://schemas.openxmlformats.org/markup-compatibility/2006"


def zipped(members: Mapping[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return held.getvalue()


def docx(body: str | None = None, **more: str) -> bytes:
    """A title, a heading of Chinese Word (its id is "2"), a list, a table, a box written twice, a deletion, a footnote."""
    styles = "".join(
        f'<w:style w:styleId="{style}"><w:name w:val="{name}"/></w:style>'
        for style, name in (("a3", "Title"), ("2", "heading 2"), ("a", "Normal"))
    )
    whole = body or "".join((
        _paragraph("年度报告", style="a3"),
        "<w:p><w:r><w:t>第一段，有</w:t></w:r><w:r><w:t>两行</w:t><w:br/><w:t>在这里。</w:t></w:r></w:p>",
        _paragraph("二、表格", style="2"), _paragraph("甲项", item=True), _paragraph("乙项", item=True),
        _table(("名称", "数量"), ("苹果", "3")),
        f'<w:p xmlns:mc="{MC}"><mc:AlternateContent><mc:Choice><w:r><w:t>最后</w:t></w:r></mc:Choice>'
        "<mc:Fallback><w:r><w:t>最后</w:t></w:r></mc:Fallback></mc:AlternateContent><w:r><w:t>一段，</w:t></w:r><w:del><w:r><w:delText>旧的</w:delText></w:r></w:del>"
        "<w:ins><w:r><w:t>新写的。</w:t></w:r></w:ins></w:p>",
    ))  # fmt: skip
    return zipped({
        "[Content_Types].xml": "<Types/>", "word/document.xml": f'<w:document xmlns:w="{W}"><w:body>{whole}</w:body></w:document>',
        "word/styles.xml": f'<w:styles xmlns:w="{W}">{styles}</w:styles>',
        "word/footnotes.xml": f'<w:footnotes xmlns:w="{W}"><w:footnote>{_paragraph("一条脚注。")}</w:footnote></w:footnotes>', **more,
    })  # fmt: skip


def _paragraph(text: str, style: str = "a", item: bool = False) -> str:
    marks = f'<w:pPr><w:pStyle w:val="{style}"/>{"<w:numPr/>" if item else ""}</w:pPr>'
    return f"<w:p>{marks}<w:r><w:t>{text}</w:t></w:r></w:p>"


def _table(*lines: Sequence[str]) -> str:
    rows = ("".join(f"<w:tc>{_paragraph(cell)}</w:tc>" for cell in line) for line in lines)
    return f"<w:tbl>{''.join(f'<w:tr>{row}</w:tr>' for row in rows)}</w:tbl>"


def epub(chapters: Mapping[str, str | None], locked: Sequence[str] = ()) -> bytes:
    """chapters: bodies by name in the order of the spine; one of None is named and not there."""
    items = "".join(f'<item id="{name}" href="{name}"/>' for name in sorted(chapters))
    spine = "".join(f'<itemref idref="{name}"/>' for name in chapters)
    members = {
        "mimetype": "application/epub+zip",
        "META-INF/container.xml": '<container xmlns="urn:x"><rootfiles><rootfile full-path="OEBPS/a.opf"/></rootfiles></container>',
        "OEBPS/a.opf": f'<package xmlns="http://www.idpf.org/2007/opf"><manifest>{items}</manifest><spine>{spine}</spine></package>',
    }
    members |= {
        f"OEBPS/{name}": f"<html><head><title>t</title></head><body>{body}</body></html>" for name, body in chapters.items() if body
    }
    if locked:
        references = "".join(f'<CipherReference URI="{name}"/>' for name in locked)
        members["META-INF/encryption.xml"] = f"<encryption>{references}</encryption>"
    return zipped(members)


def pdf(*pages: str) -> bytes:
    """Pages with one line of Latin text each; an empty one holds nothing."""
    kids = " ".join(f"{4 + 2 * number} 0 R" for number in range(len(pages)))
    objects = ["<< /Type /Catalog /Pages 2 0 R >>", f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>"]
    objects.append("<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>")
    for number, text in enumerate(pages):
        stream = f"BT /F1 12 Tf 72 700 Td ({text}) Tj ET" if text else ""
        resources = "<< /Font << /F1 3 0 R >> >>"
        objects.append(f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources {resources} /Contents {5 + 2 * number} 0 R >>")
        objects.append(f"<< /Length {len(stream)} >>\nstream\n{stream}\nendstream")
    body, places = b"%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(body))
        body += f"{number} 0 obj\n{content}\nendobj\n".encode()
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    return (
        body
        + f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer\n<< /Size {size} /Root 1 0 R >>\nstartxref\n{len(body)}\n%%EOF\n".encode()
    )


def page(story: str) -> str:
    """A page with the things round its article that pages have."""
    links = "".join(f'<li><a href="/{i}">另一篇文章的题目 {i}</a></li>' for i in range(9))
    return f"""<!DOCTYPE html><html><head><meta charset="utf-8"><title>散步 - 某网</title><style>p {{ }}</style></head><body>
    <nav><ul>{links}</ul></nav><div class="sidebar"><p>订阅我们的通讯，每周一封，内容很多，绝不重复，现在就来。</p></div>
    <div id="main"><div class="post-content"><h1>散步</h1><script>var a = "<p>不是正文</p>";</script><p>{escape(story)}</p>
    <ul><li>一、公园</li><li>二、读书</li></ul><table><tr><th>天气</th><th>地点</th></tr><tr><td>雨</td><td>家</td></tr></table></div>
    <div class="related"><h3>相关文章</h3><ul>{links}</ul></div></div>
    <footer><p>版权所有，未经许可不得转载，违者必究，请联系我们。</p></footer></body></html>"""


def warc(*records: tuple[object, ...]) -> bytes:
    """(type, address, media type, body[, status]) each."""
    out = b""
    for kind, address, media, body, *status in records:
        assert isinstance(body, bytes)
        head, block = f"WARC/1.0\r\nWARC-Type: {kind}\r\nWARC-Target-URI: {address}\r\n", body
        if kind == "response":
            block = f"HTTP/1.1 {status[0] if status else 200} OK\r\nContent-Type: {media}\r\n\r\n".encode() + body
            media = "application/http; msgtype=response"
        out += f"{head}Content-Type: {media}\r\nContent-Length: {len(block)}\r\n\r\n".encode() + block + b"\r\n\r\n"
    return out
