/** Plain JavaScript values on their way to and from a plugin. */
import { isStruct, type Struct, type Value } from './struct.ts'

/** True for an object that is neither null, nor a list, nor bytes. */
export function isPlainRecord(value: unknown): value is Record<string, unknown> {
  return (
    typeof value === 'object' &&
    value !== null &&
    !Array.isArray(value) &&
    !(value instanceof Uint8Array)
  )
}

/** The wire value of a parameter; null for what the wire has no word for. */
export function toValue(plain: unknown): Value {
  if (typeof plain === 'string' || typeof plain === 'number' || typeof plain === 'boolean') {
    return plain
  }
  if (typeof plain === 'bigint') return Number(plain)
  if (plain instanceof Uint8Array) return plain
  if (Array.isArray(plain)) return plain.map(toValue)
  return isPlainRecord(plain) ? toStruct(plain) : null
}

/** The wire struct of parameters; keys without a value are left out. */
export function toStruct(plain: Readonly<Record<string, unknown>>): Struct {
  const struct: Record<string, Value> = Object.create(null)
  for (const [key, value] of Object.entries(plain)) {
    if (value !== undefined) struct[key] = toValue(value)
  }
  return struct
}

/** True for two pieces of the same bytes, wherever they lie. */
export function sameBytes(one: Uint8Array, other: Uint8Array): boolean {
  return one === other || (one.length === other.length && Buffer.compare(one, other) === 0)
}

/** True for two values that say the same on the wire. */
export function sameValue(one: Value | undefined, other: Value | undefined): boolean {
  if (one === other) return true
  if (one === undefined || other === undefined) return false
  if (one instanceof Uint8Array) return other instanceof Uint8Array && sameBytes(one, other)
  if (Array.isArray(one)) {
    if (!Array.isArray(other) || one.length !== other.length) return false
    return one.every((value, index) => sameValue(value, other[index]))
  }
  if (!isStruct(one) || !isStruct(other)) return Number.isNaN(one) && Number.isNaN(other)
  const keys = Object.keys(one)
  if (keys.length !== Object.keys(other).length) return false
  return keys.every((key) => sameValue(one[key], other[key]))
}
