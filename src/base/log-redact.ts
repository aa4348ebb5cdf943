/** Makes what is about to be logged safe to log: no secrets, no depths, no bytes, plain errors. */
import { GatewayError, sentenceOf } from './errors.ts'

/** What stands in the log in the place of a secret. */
export const REDACTED = '[redacted]'

/** Names of fields whose values are never printed, also at the end of longer names. */
const SECRET_NAME = /(password|passwd|passphrase|secret|token|authorization)$/i

/** Names are mostly those that were asked about before: so many answers are kept. */
const NAMES_KEPT_MAX = 1000
const answers = new Map<string, boolean>()

/** True where a field of this name is never printed. */
export function isSecretName(name: string): boolean {
  const known = answers.get(name)
  if (known !== undefined) return known
  const isSecret = SECRET_NAME.test(name)
  if (answers.size < NAMES_KEPT_MAX) answers.set(name, isSecret)
  return isSecret
}

/** Objects in objects deeper than this are left out. */
const DEPTH_MAX = 6
/** Fields of one object, and items of one list, beyond this many are left out. */
const ITEMS_MAX = 100

/** A copy of the fields of a record in which no value of a secret name is left, at any depth. */
export function redact(fields: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return redactFields(fields, 0)
}

function redactFields(
  fields: Readonly<Record<string, unknown>>,
  depth: number,
): Record<string, unknown> {
  const redacted: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(fields).slice(0, ITEMS_MAX)) {
    redacted[name] = isSecretName(name) ? REDACTED : redactValue(value, depth)
  }
  return redacted
}

function redactValue(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value
  if (value instanceof Error) return describeError(value)
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} bytes]`
  if (depth >= DEPTH_MAX) return '[too deep]'
  if (Array.isArray(value)) {
    return value.slice(0, ITEMS_MAX).map((item: unknown) => redactValue(item, depth + 1))
  }
  if ('toJSON' in value) return value
  return redactFields({ ...value }, depth + 1)
}

/** An error we raised ourselves explains itself; any other is a surprise and shows its stack. */
function describeError(error: Error): Readonly<Record<string, unknown>> {
  const message = sentenceOf(error)
  if (error instanceof GatewayError) return { type: error.name, code: error.code, message }
  return { type: error.name, message, stack: error.stack ?? '' }
}
