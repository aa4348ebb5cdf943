/** What was asked of one gateway, and which answers were not what they had to be. */

const EXAMPLES_MAX = 20
const EXAMPLE_CHARACTERS_MAX = 300

export class Tally {
  statements = 0
  connections = 0
  wrong = 0
  /** The first wrong answers, in words. */
  readonly examples: string[] = []

  /** Counts a wrong answer, and keeps its words while there is room. */
  add(words: string): void {
    this.wrong++
    if (this.examples.length < EXAMPLES_MAX) {
      this.examples.push(words.slice(0, EXAMPLE_CHARACTERS_MAX))
    }
  }

  /** Counts a wrong answer unless both are alike, as JSON. */
  expect(what: string, got: unknown, wanted: unknown): void {
    const [one, other] = [JSON.stringify(got), JSON.stringify(wanted)]
    if (one !== other) this.add(`${what}: ${shortened(one)} instead of ${shortened(other)}`)
  }

  /** Counts a wrong answer where it does not hold. */
  require(isSo: boolean, what: string): void {
    if (!isSo) this.add(what)
  }
}

function shortened(words = 'undefined'): string {
  return words.length > 110 ? `${words.slice(0, 110)}…` : words
}
