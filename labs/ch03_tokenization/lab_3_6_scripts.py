"""Lab 3.6: what a script costs. One article in twelve languages under a tokenizer that has seen English, and what a larger vocabulary does."""

import marimo

app = marimo.App(width="medium", app_title="Lab 3.6")


@app.cell
def _():
    from groundup.learn.lab import Lab

    lab = Lab("3.6", title="What a script costs", seconds=6)
    lab.header()
    return (lab,)


@app.cell
def _(lab):
    import marimo as mo

    guess = lab.predict(
        "A tokenizer of 4,096 ids was trained on English documentation. How many times the tokens of the English article "
        "does the Hindi one take?",
        low=1, high=20, step=0.1, unit="times",
    )  # fmt: skip
    mo.vstack([
        mo.md(
            r"""
            ## Predict

            Below is Article 1 of the Universal Declaration of Human Rights (United Nations, 1948), which says the same thing in every
            language. Byte-level BPE can write all of them: what it has no merge for, it spells in UTF-8 bytes. The *premium* of a
            language is

            $$\text{premium}(\ell) = \frac{\text{tokens of the article in } \ell}{\text{tokens of the article in English}}$$

            and it multiplies everything a user of that language pays: price per request, time to an answer, and how little of a
            conversation fits in the context (Petrov et al. 2023, *Language Model Tokenizers Introduce Unfairness Between Languages*).
            A Devanagari letter is three bytes in UTF-8, and the Hindi article has 187 characters to English's 170.
            """
        ),
        guess,
    ])  # fmt: skip
    return guess, mo


@app.cell
def _():
    # Article 1 in translations that the Office of the High Commissioner for Human Rights publishes.
    ARTICLE_1 = {
        "English": "All human beings are born free and equal in dignity and rights. They are endowed with reason and "
        "conscience and should act towards one another in a spirit of brotherhood.",
        "French": "Tous les êtres humains naissent libres et égaux en dignité et en droits. Ils sont doués de raison "
        "et de conscience et doivent agir les uns envers les autres dans un esprit de fraternité.",
        "German": "Alle Menschen sind frei und gleich an Würde und Rechten geboren. Sie sind mit Vernunft und Gewissen "
        "begabt und sollen einander im Geiste der Brüderlichkeit begegnen.",
        "Vietnamese": "Tất cả mọi người sinh ra đều được tự do và bình đẳng về nhân phẩm và quyền. Mọi con người đều được "
        "tạo hoá ban cho lý trí và lương tâm và cần phải đối xử với nhau trong tình bằng hữu.",
        "Greek": "Όλοι οι άνθρωποι γεννιούνται ελεύθεροι και ίσοι στην αξιοπρέπεια και τα δικαιώματα. Είναι "
        "προικισμένοι με λογική και συνείδηση, και οφείλουν να συμπεριφέρονται μεταξύ τους με πνεύμα "
        "αδελφοσύνης.",
        "Russian": "Все люди рождаются свободными и равными в своем достоинстве и правах. Они наделены разумом и "
        "совестью и должны поступать в отношении друг друга в духе братства.",
        "Hebrew": "כל בני אדם נולדו בני חורין ושווים בערכם ובזכויותיהם. כולם חוננו בתבונה ובמצפון, לפיכך חובה עליהם "
        "לנהוג איש ברעהו ברוח של אחוה.",
        "Chinese": "人人生而自由，在尊严和权利上一律平等。他们赋有理性和良心，并应以兄弟关系的精神相对待。",
        "Japanese": "すべての人間は、生まれながらにして自由であり、かつ、尊厳と権利とについて平等である。人間は、"
        "理性と良心とを授けられており、互いに同胞の精神をもって行動しなければならない。",
        "Korean": "모든 인간은 태어날 때부터 자유로우며 그 존엄과 권리에 있어 동등하다. 인간은 천부적으로 이성과 "
        "양심을 부여받았으며 서로 형제애의 정신으로 행동하여야 한다.",
        "Hindi": "सभी मनुष्यों को गौरव और अधिकारों के मामले में जन्मजात स्वतन्त्रता और समानता प्राप्त है। उन्हें "
        "बुद्धि और अन्तरात्मा की देन प्राप्त है और परस्पर उन्हें भाईचारे के भाव से बर्ताव करना चाहिए।",
        "Thai": "มนุษย์ทั้งหลายเกิดมามีอิสระและเสมอภาคกันในเกียรติศักดิ์และสิทธิ ต่างมีเหตุผลและมโนธรรม "
        "และควรปฏิบัติต่อกันด้วยเจตนารมณ์แห่งภราดรภาพ",
    }
    return (ARTICLE_1,)


@app.cell
def _(ARTICLE_1, guess, lab):
    lab.wait_for(guess)
    from functools import cache
    from pydoc_data.topics import topics

    from groundup.tokenizers import BPETokenizer, BPETrainConfig, compare

    @cache
    def trained(vocab_size: int) -> BPETokenizer:
        """On the pages of Python's own `help()`: 460 kB of English."""
        config = BPETrainConfig(vocab_size=vocab_size, special_tokens=())
        return BPETokenizer.train([topics[name] for name in sorted(topics)], config)

    def premiums(vocab_size: int) -> dict[str, float]:
        tokenizer = trained(vocab_size)
        count = {language: compare({"": tokenizer}, text)[""].num_tokens for language, text in ARTICLE_1.items()}
        return {language: tokens / count["English"] for language, tokens in count.items()}

    return premiums, trained


@app.cell
def _(mo):
    import matplotlib.pyplot as plt

    def bars(before: dict[str, float], after: dict[str, float], names: tuple[str, str]):
        figure, axes = plt.subplots(figsize=(7.5, 4.2), layout="constrained")
        languages = sorted(after, key=after.__getitem__)
        places = range(len(languages))
        axes.barh(
            [p + 0.2 for p in places], [before[x] for x in languages], height=0.4, label=names[0], color="tab:gray"
        )
        axes.barh(
            [p - 0.2 for p in places], [after[x] for x in languages], height=0.4, label=names[1], color="tab:blue"
        )
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set_yticks(list(places), languages)
        axes.set_xlabel("tokens of the article, in times those of the English one")
        axes.legend(loc="lower right")
        plt.close(figure)
        return figure

    mo.md("## Run and compare")
    return (bars,)


@app.cell
def _(bars, guess, lab, mo, premiums):
    _seen, _bytes = premiums(4096), premiums(256)
    mo.vstack([
        bars(_bytes, _seen, ("256 ids: plain bytes", "4,096 ids, trained on English")),
        lab.compare(
            "hindi_premium", _seen["Hindi"], band=(7.5, 11.5), guess=guess, unit="times",
            below="English was compressed less than usual: was there less text to train on?",
            above="English was compressed more than usual; the Hindi article cannot be much longer than its bytes.",
        ),
        lab.compare(
            "chinese_premium_in_bytes", _bytes["Chinese"], band=(0.7, 0.8), unit="times",
            below="The article was changed.", above="The article was changed.",
        ),
        mo.md(
            "In plain bytes Chinese is *cheaper* than English: three bytes a character, but few characters. No script is dear by nature; "
            "merges that only some languages get make it so."
        ),
    ])  # fmt: skip
    return


@app.cell
def _(lab, mo):
    vocabulary = lab.choose("Change the size of the vocabulary:", [1024, 8192, 512, 2048], default=1024)
    mo.vstack(
        [
            mo.md(
                "## Change\n\nBefore you look: will a larger vocabulary bring the languages closer together, or move them apart?"
            ),
            vocabulary,
        ]
    )
    return (vocabulary,)


@app.cell
def _(ARTICLE_1, bars, lab, mo, premiums, trained, vocabulary):
    from groundup.tokenizers import describe

    _now = premiums(vocabulary.value)
    _cut = {
        language: "·".join(
            span.text.replace(" ", "␣") for span in describe(trained(vocabulary.value), ARTICLE_1[language])[:14]
        )
        for language in ("English", "German", "Hindi")
    }
    _band = {512: (4.8, 6.4), 1024: (6, 8.2), 2048: (6.8, 9.6), 8192: (8, 12)}[vocabulary.value]
    mo.vstack([
        bars(premiums(4096), _now, ("4,096 ids", f"{vocabulary.value:,} ids")),
        lab.compare(
            f"hindi_premium_{vocabulary.value}", _now["Hindi"], band=_band, unit="times",
            below="English was compressed less than usual.", above="English was compressed more than usual.",
        ),
        mo.md("The first 14 tokens (� is a part of a character):\n\n" + "\n".join(f"- {name}: `{cut}`" for name, cut in _cut.items())),
    ])  # fmt: skip
    return


@app.cell
def _(guess, lab, mo):
    lab.wait_for(guess)
    asked = lab.ask(
        "apart", "A larger vocabulary, trained on the same English text, raises Hindi's premium. Why?",
        right="English needs fewer tokens, Hindi as many as before",
        wrong=["Hindi needs more tokens than before", "Long tokens take more bytes"],
        why="Every merge goes to what the training text has most of. The remedy is in the data, not in the size: balance the languages "
        "of the tokenizer's text, which need not be the balance of the model's.",
    )  # fmt: skip
    mo.vstack([mo.md("## Explain"), asked])
    return (asked,)


@app.cell
def _(asked, lab):
    lab.finish(apart=asked)
    return


if __name__ == "__main__":
    app.run()
