/** JSON that is put into a record as it is: whoever made it has checked that it may be printed. */
import { type Logger, pino } from 'pino'

/** The text of a JSON object without line feeds. */
export class JsonText {
  readonly text: string

  constructor(text: string) {
    this.text = text
  }

  /** For whoever does not know of it. */
  toJSON(): unknown {
    return JSON.parse(this.text)
  }
}

/** Has a logger, and the children it will have, write such texts under `key` as they are. */
export function writeJsonAsItIs(log: Logger, key: string): void {
  const stringifiers: unknown = Reflect.get(log, pino.symbols.stringifiersSym)
  if (typeof stringifiers !== 'object' || stringifiers === null) return
  Object.assign(stringifiers, {
    [key]: (value: unknown, otherwise: (value: unknown) => string) =>
      value instanceof JsonText ? value.text : stringified(value, otherwise),
  })
}

function stringified(value: unknown, otherwise: (value: unknown) => string): string {
  try {
    return JSON.stringify(value)
  } catch {
    return otherwise(value)
  }
}
