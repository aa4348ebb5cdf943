/** A password or its hash, which is seen only where somebody asks for it by name. */

const HIDDEN = '[secret]'

export class Secret {
  readonly #text: string

  constructor(text: string) {
    this.#text = text
  }

  /** The secret itself, for a login and for nothing else. */
  reveal(): string {
    return this.#text
  }

  get isEmpty(): boolean {
    return this.#text === ''
  }

  toJSON(): string {
    return HIDDEN
  }

  toString(): string {
    return HIDDEN
  }

  // Bun and Node print a value by this name.
  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return HIDDEN
  }
}
