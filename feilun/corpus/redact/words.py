"""Words, in both scripts and in English, that say what the number behind them is."""

import re

__all__ = ["ADDRESS_WORDS", "BANK_WORDS", "COMPANY_WORDS", "ID_WORDS", "MAIL_WORDS", "OTHER_WORDS", "PHONE_WORDS", "names_in"]


def names_in(text: str) -> frozenset[str]:
    """The words of a list that stands as text."""
    return frozenset(text.split())


def _any(words: str) -> re.Pattern[str]:
    return re.compile("|".join(words.split()), re.IGNORECASE)


PHONE_WORDS = _any(
    r"""电话 電話 手机 手機 联系 聯繫 聯絡 联络 致电 致電 拨打 撥打 热线 熱線 座机 座機 短信 簡訊 来电 來電 传真 傳真 門號 市話 固话
    \btel phone mobile \bmob\b \bcell \bfax whatsapp contact \bdial \bcall\b"""
)
MAIL_WORDS = _any("邮箱 郵箱 邮件 郵件 电邮 電郵 信箱 mail")
ID_WORDS = _any(r"身份证 身份證 证件号 證件號 居民证 居民證 公民身份 identity\scard \bid\scard")
BANK_WORDS = _any(
    r"""银行 銀行 卡号 卡號 账号 帳號 账户 帳戶 信用卡 储蓄 儲蓄 借记 借記 工行 建行 农行 農行 招行 打款 汇款 匯款 转账 轉帳 轉賬
    \bcard \bvisa\b \bamex\b mastercard account"""
)
COMPANY_WORDS = _any("信用代码 信用代碼 税号 稅號 纳税人 納稅人 营业执照 營業執照 credit.code tax.id")
ADDRESS_WORDS = _any(
    r"ip 地址 位址 主机 主機 服务器 伺服器 网关 網關 \bhost server gateway \bdns\b \bping\b \bssh\b telnet listen bind inet proxy"
)
# Names of numbers that only look like a person's.
OTHER_WORDS = _any(
    r"""订单 訂單 单号 單號 编号 編號 流水 运单 運單 工单 工單 案号 案號 序列 序號 序号 货号 貨號 条码 條碼 批号 批號 交易 票号 票號 校验
    时间戳 時間戳 版本 章节 章節 播放量 行号 行號 哈希 \bisbn \bissn \bdoi\b \border tracking invoice ticket timestamp version \bbuild\b
    \bserial \bsku\b \bbatch\b commit \bhash\b checksum \bseed\b \boffset\b \bsize\b \bbytes\b \blines?\b \brev\b \bpid\b \bv\b"""
)
