"""Words of asking, in which a question is put: which of them a person uses says little about what is asked."""

__all__ = ["ASKING", "FILLERS", "MINE", "PLAIN", "SHELLS"]


def _list(text: str) -> tuple[str, ...]:
    return tuple(item.strip() for line in text.strip().splitlines() for item in line.split(" / "))


ASKING = {
    "zh": _list("""
告诉我 / 我想知道 / 请问 / 什么 / 哪里 / 哪儿 / 哪个 / 哪位 / 哪家 / 多少 / 怎么 / 我的 / 我们 / 你的 / 咱们 / 那个 / 这个 / 知道
记得 / 来着 / 是不是 / 一下 / 在哪 / 名字 / 几号 / 谁 / 啥 / 哪 / 几 / 吗 / 呢 / 啊 / 呀 / 的 / 了 / 是 / 叫 / 我 / 你 / 咱 / 请
吧 / 在哪儿 / 在哪里 / 在哪所 / 哪所 / 哪种 / 哪一 / 哪款 / 那位 / 那家 / 叫做 / 现在 / 平时 / 在
"""),
    "en": _list("""
a / an / the / my / your / our / his / her / their / i / you / we / me / us / it / its / is / are / was / were / be / been / am
do / does / did / have / has / had / to / of / in / on / at / by / for / from / with / about / as / and / or / not / what / what's
whats / which / who / who's / whose / whom / where / where's / when / when's / how / why / tell / please / remember / recall
know / say / name / named / called / call / can / could / would / will / again / that / this / there / here / hey / hi / now / one
so / just / mine
"""),
}
# Around a question, or around what is left of it.
SHELLS = {
    "zh": _list("""
请问{q} / 请问,{q}? / 告诉我{q} / {q}? / {q}呢 / 你知道{q}吗? / 你还记得{q}吗 / 我想知道{q} / {q}来着? / 帮我想想{q} / 说说{q}
我忘了{q} / {q},谢谢 / 嘿,{q} / 那{q}呢? / 查一下{q} / {q}你知道吗? / {q}你还记得不 / 能不能告诉我{q} / 麻烦说一下{q} / 我想问{q}
{q}是什么来着 / {q}到底是哪个? / 考考你,{q} / 提醒我一下{q} / 说出{q}
"""),
    "en": _list("""
Please tell me {q} / do you know {q}? / {q}? / {q}, please / I forgot {q} / remind me {q} / Can you tell me {q}? / {q} again?
hey, {q} / So {q}? / I want to know {q} / Do you remember {q}? / what about {q}? / {q} thanks / Any idea {q}? / could you say {q}
I keep forgetting {q} / I need {q} please / Do you recall {q}? / {q}, do you know? / {q}, which is it? / what is {q} again
Quick, {q} / I can't remember {q} / Would you remind me of {q}? / Look up {q}
"""),
}
# Put between the other words.
FILLERS = {
    "zh": _list("""
的 / 是 / 叫 / 什么 / 哪个 / 我的 / 我 / 啥 / 谁 / 在哪 / 名字 / 那个 / 哪里 / 几 / 是什么 / 叫什么 / 姓名 / 哪位 / 哪家 / 现在
一般 / 平时 / 记得 / 知道 / 到底 / 号码 / 这个
"""),
    "en": _list("""
my / the / is / what / which / who / where / name / called / do I / have / of / it / that / in / how / am / does / are / we / our
again / number / these days / now / at / one / go / use / for / a
"""),
}
MINE = {"zh": "我的", "en": "my"}
# Words around the words of asking: they may come or go, and the question is still about the same thing.
PLAIN = {
    "zh": _list("""
负责 / 应该 / 联系 / 具体 / 您 / 能 / 它 / 养 / 给 / 起 / 个 / 还 / 家 / 那 / 只 / 条 / 里 / 从 / 由 / 该 / 有 / 要 / 用
又 / 就 / 管 / 到 / 去 / 说 / 想 / 会 / 把 / 被 / 跟 / 和 / 这 / 些 / 人 / 他 / 她 / 好 / 都 / 也 / 再 / 忘 / 哎 / 诶 / 呃 / 嗯
哈 / 咋 / 放 / 做 / 办 / 来 / 不 / 没 / 么 / 为 / 什么时候
请你 / 请帮 / 请说 / 时候 / 时间 / 地方 / 开始 / 谢谢 / 麻烦 / 帮我 / 到底 / 唉 / 过 / 上 / 搁 / 收
"""),
    "en": _list("""
all / any / some / no / each / every / more / most / very / too / also / only / even / still / yet / already / best / like / love / many
much / once / ok / okay / oh / ah / um / uh / hmm / well / kinda / kindly / lol / sorry / thanks / thank / quick / silly / question
get / gets / got / give / gave / given / go / goes / went / come / comes / take / takes / took / put / puts / make / makes / made / keep
keeps / kept / use / uses / used / own / owns / need / needs / want / wants / think / thought / see / find / found / look / looks
looked / let / set / sets / ask / asks / asked / mention / mentioned / told / said / says / forgot / forget / remind / blank / blanking
supposed / myself / yourself / ourselves / them / they / he / she / him / these / those / then / while / if / but / because / than
into / out / up / down / off / over / under / after / before / right / exactly / actually / really / usually / currently / ever
always / number / count / total / amount / kind / sort / type / place / spot / location / word / answer / thing / ones / way / exact
lot / doing / done / being / having / should / shall / may / might / must / start / starts / begin / begins / happen / happens / held
im / ive / id / ill / youre / wheres / whos / hows / thats / dont / cant / didnt / havent
somewhere / anyway / haha / gah / ugh / hello / today / gone
"""),
}
