/** Reads the keys of one JSON object from outside, each with the type that it must have. */

/** Its methods throw an Error that names the key which is not as expected. */
export class Fields {
  readonly #values: ReadonlyMap<string, unknown>
  readonly #place: string

  constructor(value: unknown, place: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) {
      throw new Error(`${place} is no object`)
    }
    this.#values = new Map(Object.entries(value))
    this.#place = place
  }

  has(key: string): boolean {
    return this.#values.has(key)
  }

  text(key: string): string {
    const value = this.#values.get(key)
    return typeof value === 'string' ? value : this.#fail(key, 'text')
  }

  number(key: string): number {
    const value = this.#values.get(key)
    return typeof value === 'number' ? value : this.#fail(key, 'number')
  }

  numberOrNull(key: string): number | null {
    return this.#values.get(key) === null ? null : this.number(key)
  }

  flagOrNull(key: string): boolean | null {
    const value = this.#values.get(key)
    if (value === null || typeof value === 'boolean') return value
    return this.#fail(key, 'true, false or null')
  }

  fields(key: string): Fields {
    return new Fields(this.#values.get(key), `${this.#place}.${key}`)
  }

  list(key: string): readonly Fields[] {
    const items = this.#items(key)
    return items.map((item, index) => new Fields(item, `${this.#place}.${key}[${index}]`))
  }

  texts(key: string): readonly string[] {
    return this.#items(key).map((item) => String(item))
  }

  #items(key: string): readonly unknown[] {
    const value: unknown = this.#values.get(key)
    return Array.isArray(value) ? value : this.#fail(key, 'a list')
  }

  #fail(key: string, expected: string): never {
    throw new Error(`${this.#place}.${key} is not ${expected}`)
  }
}
