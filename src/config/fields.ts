/**
 * What every key of the configuration is made of: kinds of values, each with its default and its
 * help. All of them read text, because a file, a variable and a flag all give text.
 */
import * as z from 'zod'
import { parseAddress } from '../base/address.ts'
import { DURATION_MS_MAX, parseDuration } from '../base/duration.ts'
import { isMap } from './draft.ts'

/** What is known of a key beside how it is read. */
export interface FieldFacts {
  /** How a value is written. `section`: a map of keys; `anything`: any YAML, kept as it is. */
  readonly kind: 'section' | 'value' | 'list' | 'anything'
  readonly help: string
  /** The default as one would write it; undefined where there is none. */
  readonly standard: string | readonly string[] | undefined
  /** Never shown in a message, and `file:PATH` is replaced by the file's content. */
  readonly secret: boolean
}

/** The facts of every key and section, by its schema. */
export const fieldFacts = z.registry<FieldFacts>()

const TRUE_WORDS = new Set(['true', 't', 'yes', 'y', 'on', '1'])
const FALSE_WORDS = new Set(['false', 'f', 'no', 'n', 'off', '0'])

/** A YAML 1.1 boolean in any case, or undefined. */
export function parseFlag(text: string): boolean | undefined {
  const word = text.toLowerCase()
  if (TRUE_WORDS.has(word)) return true
  return FALSE_WORDS.has(word) ? false : undefined
}

/** The text of a scalar; undefined for a map, a list or nothing. */
function textOf(raw: unknown): string | undefined {
  if (typeof raw === 'string') return raw
  return typeof raw === 'number' || typeof raw === 'boolean' ? String(raw) : undefined
}

/** A value written as one scalar; `expected` completes "must be". */
function scalar<T>(expected: string, read: (text: string) => T | undefined) {
  return z.unknown().transform((raw, context): T => {
    const text = textOf(raw)
    const value = text === undefined ? undefined : read(text)
    if (value !== undefined) return value
    const message = raw === undefined ? `is missing: it must be ${expected}` : `must be ${expected}`
    context.addIssue({ code: 'custom', message, input: raw })
    return z.NEVER
  })
}

type Scalar<T> = ReturnType<typeof scalar<T>>

function describe<S extends z.ZodType>(
  schema: S,
  help: string,
  standard: FieldFacts['standard'],
  kind: FieldFacts['kind'] = 'value',
): S {
  fieldFacts.add(schema, { kind, help, standard, secret: false })
  return schema
}

function withDefault<T>(schema: Scalar<T>, standard: string, help: string) {
  return describe(schema.prefault(standard), help, standard)
}

/** Marks a key, with all below it, as one whose value is never shown. */
export function secret<S extends z.ZodType>(schema: S): S {
  const facts = fieldFacts.get(schema)
  if (facts !== undefined) fieldFacts.add(schema, { ...facts, secret: true })
  return schema
}

/** Any text. */
export function text(standard: string, help: string) {
  return withDefault(
    scalar('text', (written) => written),
    standard,
    help,
  )
}

/** Text that must be given and may not be empty. */
export function requiredText(help: string) {
  const read = (written: string) => (written === '' ? undefined : written)
  return describe(scalar('text that is not empty', read), help, undefined)
}

/** Text that may be left out, but not be empty. */
export function requiredTextOr(standard: string, help: string) {
  const read = (written: string) => (written.trim() === '' ? undefined : written)
  return withDefault(scalar('text that is not empty', read), standard, help)
}

/** A boolean. */
export function flag(standard: boolean, help: string) {
  return withDefault(scalar('true or false', parseFlag), String(standard), help)
}

/** A boolean that may be left out, which means something else than false. */
export function optionalFlag(help: string) {
  return describe(scalar('true or false', parseFlag).optional(), help, undefined)
}

/** A whole number within limits, both included. */
export function count(standard: number, least: number, most: number, help: string) {
  return withDefault(scalar(...wholeNumber(least, most)), String(standard), help)
}

/** A whole number within limits, or the word `auto`. */
export function countOrAuto(standard: number, least: number, most: number, help: string) {
  const [expected, read] = wholeNumber(least, most)
  const either = (written: string): number | 'auto' | undefined =>
    written.trim().toLowerCase() === 'auto' ? 'auto' : read(written)
  return withDefault(scalar(`auto or ${expected}`, either), String(standard), help)
}

/** A whole number within limits that must be given. */
export function requiredCount(least: number, most: number, help: string) {
  return describe(scalar(...wholeNumber(least, most)), help, undefined)
}

function wholeNumber(least: number, most: number) {
  const read = (written: string): number | undefined => {
    const number = written.trim() === '' ? Number.NaN : Number(written)
    return Number.isSafeInteger(number) && number >= least && number <= most ? number : undefined
  }
  return [`a whole number from ${least} to ${most}`, read] as const
}

/** A number, not necessarily whole, from zero up. */
export function decimal(standard: number, most: number, help: string) {
  const read = (written: string): number | undefined => {
    const number = written.trim() === '' ? Number.NaN : Number(written)
    return number >= 0 && number <= most ? number : undefined
  }
  return withDefault(scalar(`a number from 0 to ${most}`, read), String(standard), help)
}

/**
 * A whole number without a unit is nanoseconds, as in GatewayD. Nobody means 30 of them by `30`,
 * so what is shorter than a microsecond is refused.
 */
const SHORTEST_MS = 0.001

function readLimit(written: string): number | undefined {
  const ms = parseDuration(written)
  return ms !== undefined && ms >= SHORTEST_MS && ms <= DURATION_MS_MAX ? ms : undefined
}

function readDuration(written: string): number | undefined {
  return parseDuration(written) === 0 ? 0 : readLimit(written)
}

/** A duration that may be zero, in milliseconds once read. */
export function duration(standard: string, help: string) {
  const expected = 'a duration with a unit such as 500ms or 1m30s, at most 596h'
  return withDefault(scalar(expected, readDuration), standard, help)
}

const LIMIT = 'a duration above zero, with a unit, such as 500ms or 1m30s, at most 596h'

/** A duration that limits something, so it is never zero. */
export function limit(standard: string, help: string) {
  return withDefault(scalar(LIMIT, readLimit), standard, help)
}

/** A limit that falls back to another key's. */
export function optionalLimit(help: string) {
  return describe(scalar(LIMIT, readLimit).optional(), help, undefined)
}

/** `host:port`, `[v6]:port` or `:port`. */
export function address(standard: string, help: string) {
  const read = (written: string) => (parseAddress(written, 'tcp') === null ? undefined : written)
  const expected = 'an address such as localhost:9090, [::1]:9090 or :9090'
  return withDefault(scalar(expected, read), standard, help)
}

/** The option that a text names, in any case; undefined where none does. */
function optionNamed<const T extends string>(options: readonly T[], written: string) {
  const wanted = written.toLowerCase()
  return options.find((option) => option.toLowerCase() === wanted)
}

function oneOf(options: readonly string[]): string {
  const words = options.filter((option) => option !== '').join(', ')
  return options.includes('') ? `empty or one of ${words}` : `one of ${words}`
}

/** One of several words, in any case. */
export function choice<const T extends string>(
  options: readonly T[],
  standard: NoInfer<T>,
  help: string,
) {
  const read = (written: string) => optionNamed(options, written)
  return withDefault(scalar(oneOf(options), read), standard, help)
}

/** One of several words, or nothing. */
export function optionalChoice<const T extends string>(options: readonly T[], help: string) {
  const read = (written: string) => optionNamed(options, written)
  return describe(scalar(oneOf(options), read).optional(), help, undefined)
}

/** Text of a certain form, or nothing. */
export function optionalText(expected: string, form: RegExp, help: string) {
  const read = (written: string) => (form.test(written) ? written : undefined)
  return describe(scalar(expected, read).optional(), help, undefined)
}

/** Text of a certain form. */
export function formedText(standard: string, expected: string, form: RegExp, help: string) {
  const read = (written: string) => (form.test(written) ? written : undefined)
  return withDefault(scalar(expected, read), standard, help)
}

/** The items of a list, each read; issues carry the position of their item. */
function items<T>(
  raw: readonly unknown[],
  expected: string,
  read: (text: string) => T | undefined,
  refuse: (message: string, position: number) => void,
): T[] {
  const values: T[] = []
  for (const [position, item] of raw.entries()) {
    const written = textOf(item)
    const value = written === undefined ? undefined : read(written)
    if (value === undefined) refuse(`must be ${expected}`, position)
    else values.push(value)
  }
  return values
}

/** A list of scalars. `separated`: text with commas is a list too, as it is in a variable. */
function listOf<T>(
  expected: string,
  read: (text: string) => T | undefined,
  separated: boolean,
  standard: readonly string[],
  help: string,
) {
  const schema = z.unknown().transform((raw, context): readonly T[] => {
    const refuse = (message: string, position: number) =>
      context.addIssue({ code: 'custom', message, input: raw, path: [position] })
    if (Array.isArray(raw)) return items(raw, expected, read, refuse)
    const written = textOf(raw)
    if (!separated || written === undefined) {
      context.addIssue({ code: 'custom', message: 'must be a list', input: raw })
      return z.NEVER
    }
    const parts = written.split(',').map((part) => part.trim())
    const whole = (message: string) =>
      context.addIssue({ code: 'custom', message: `${message} in each place`, input: raw })
    const named = parts.filter((part) => part !== '')
    return items(named, expected, read, whole)
  })
  return describe(schema.prefault(standard), help, standard, 'list')
}

/** A list of texts, written as a list only. */
export function texts(help: string) {
  return listOf('text', (written) => written, false, [], help)
}

/** A list of texts of a certain form, written as a list only. */
export function formedTexts(expected: string, form: RegExp, help: string) {
  const read = (written: string) => (form.test(written) ? written : undefined)
  return listOf(expected, read, false, [], help)
}

/** A list of words out of several, in any case, or text with commas. */
export function choices<const T extends string>(
  options: readonly T[],
  standard: readonly NoInfer<T>[],
  help: string,
) {
  const read = (written: string) => optionNamed(options, written)
  return listOf(oneOf(options), read, true, standard, help)
}

/** A list of names, or true for all of them and false for none. */
export function namesOrAll(standard: readonly string[], help: string) {
  const schema = z.unknown().transform((raw, context): true | readonly string[] => {
    const refuse = (position?: number) =>
      context.addIssue({
        code: 'custom',
        message: 'must be a list of names, or true for all',
        input: raw,
        path: position === undefined ? [] : [position],
      })
    if (Array.isArray(raw))
      return items(
        raw,
        'a name',
        (name) => name || undefined,
        (_, at) => refuse(at),
      )
    const all = parseFlag(textOf(raw) ?? '')
    if (all === undefined) {
      refuse()
      return z.NEVER
    }
    return all ? true : []
  })
  return describe(schema.prefault(standard), help, standard, 'list')
}

/** A map of anything, kept as it was written. */
export function anyMap(help: string) {
  const error = 'must be a map of keys'
  return describe(z.record(z.string(), z.unknown(), { error }).prefault({}), help, '{}', 'anything')
}

/** A map of known keys; any other is an error. */
export function section<const S extends z.ZodRawShape>(help: string, shape: S) {
  const error = (issue: { readonly code?: string | undefined }) =>
    issue.code === 'invalid_type' ? 'must be a map of keys, indented below it' : undefined
  return describe(z.strictObject(shape, { error }), help, undefined, 'section')
}

/** A list of sections. */
export function sections<S extends z.ZodType>(one: S, help: string) {
  const schema = z.array(one, { error: 'must be a list' }).prefault([])
  return describe(schema, help, [], 'section')
}

/**
 * Sections by the name of their group. `default` is always there: `completed` (groups.ts) adds it
 * before anything is parsed.
 */
export function groups<S extends z.ZodType>(one: S, help: string) {
  const error = 'must be a map of group names, indented below it'
  const schema = z.object({ default: one }, { error }).catchall(one)
  return describe(schema, help, undefined, 'section')
}

/** Sections by the name of their block. */
export function blocks<S extends z.ZodType>(one: S, help: string) {
  const error = 'must be a map of block names, indented below it'
  return describe(z.record(z.string(), one, { error }), help, undefined, 'section')
}

/**
 * Runs a rule over several keys of a section wherever each of those keys was read, so that one
 * look shows the rule's problem beside those of other keys.
 */
export function whereRead(...keys: readonly string[]) {
  return ({ value, issues }: z.core.ParsePayload): boolean =>
    isMap(value) && issues.every((issue) => !keys.includes(String(issue.path?.[0])))
}
