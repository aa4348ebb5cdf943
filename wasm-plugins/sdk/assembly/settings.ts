/**
 * The entry's `config`, typed. The host has checked it against the manifest's schema and filled in
 * the defaults there; what is asked for here beyond the schema gets the value given. To be read
 * once, at the first hook (there is none yet while the module starts or describes itself).
 */
import { Bytes } from './bytes'
import { answer, config } from './host'
import { JsonReader, JsonToken } from './json-reader'
import { integerOf, isText, Slice, textOf } from './slice'

const reader = new JsonReader()

/** A text; any other value as JSON. */
export function settingText(key: string, otherwise: string = ''): string {
  return config(key) ? textOf(answer.slice) : otherwise
}

/** The same as bytes of its own; false and empty where there is none. */
export function settingBytes(key: string, into: Bytes): bool {
  into.clear()
  if (!config(key)) return false
  into.add(answer.slice)
  return true
}

export function settingFlag(key: string, otherwise: bool = false): bool {
  if (!config(key)) return otherwise
  if (isText(answer.slice, 'true')) return true
  return isText(answer.slice, 'false') ? false : otherwise
}

/** A whole number. */
export function settingInteger(key: string, otherwise: i64 = 0): i64 {
  return config(key) ? integerOf(answer.slice, otherwise) : otherwise
}

/** A number that may have a fraction. */
export function settingNumber(key: string, otherwise: f64 = 0): f64 {
  if (!config(key)) return otherwise
  const value = parseFloat(textOf(answer.slice))
  return isFinite(value) ? value : otherwise
}

/** Which of `names`, divided by blanks, the text is: its position, or `otherwise`. */
export function settingChoice(key: string, names: string, otherwise: i32): i32 {
  if (!config(key)) return otherwise
  const choices = names.split(' ')
  for (let at = 0; at < choices.length; at++) if (isText(answer.slice, choices[at])) return at
  return otherwise
}

/** A list of texts; nothing where there is none. */
export function settingTexts(key: string): string[] {
  const texts: string[] = []
  const items = settingReader(key)
  if (items == null || items.next() != JsonToken.ArrayBegin) return texts
  while (items.next() == JsonToken.String) texts.push(textOf(items.value))
  return texts
}

/** A reader at the value of a key, for lists of objects and such; null where there is none. */
export function settingReader(key: string): JsonReader | null {
  held.clear()
  if (!config(key)) return null
  // The answer's place is taken again by the next getter.
  held.add(answer.slice)
  return reader.open(held.slice)
}

const held = new Bytes()

/** All of the configuration as JSON, good until the next getter. */
export function settings(): Slice {
  return config('') ? answer.slice : 0
}
