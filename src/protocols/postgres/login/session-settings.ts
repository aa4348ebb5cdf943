/**
 * Gives a connection that is logged in already the settings that a client asked for in its startup
 * packet, as the server would have given them to a connection of the client's own.
 */
import type { Refused } from '../../protocol.ts'
import { splitOptions } from './startup-options.ts'
import { isProtocolOption, type Parameter } from './startup-parameters.ts'

/** Settings that one client may ask for, one a name. */
export const SETTINGS_MAX = 200

/** A name of a setting, with dots in those of extensions. */
const NAME = /^[A-Za-z_][A-Za-z0-9_$]*(?:\.[A-Za-z_][A-Za-z0-9_$]*)*$/
/** What is not a setting but says whom to connect to, or is looked at apart. */
const NO_SETTINGS = ['user', 'database', 'options', 'replication']
/** As PostgreSQL reads a boolean: any beginning that is no other's. */
const FALSE = ['f', 'fa', 'fal', 'fals', 'false', 'n', 'no', 'of', 'off', '0']

/** What clients set most is one text, for which SET is enough and costs the server far less. */
const PLAIN: ReadonlySet<string> = new Set([
  'application_name',
  'client_encoding',
  'datestyle',
  'extra_float_digits',
  'intervalstyle',
  'statement_timeout',
  'timezone',
])

export type SettingsStep =
  /** Send the SQL as one Query and await its reply; null: all is as the client wants it. */
  | { readonly kind: 'settings'; readonly sql: string | null }
  | { readonly kind: 'refused'; readonly refused: Refused }

/**
 * What to do for the parameters of a startup packet on a connection that reported `reported` by
 * ParameterStatus. An error that the server answers is the client's to know: it refuses the login.
 */
export function settingsFor(
  parameters: readonly Parameter[],
  reported: ReadonlyMap<string, string>,
): SettingsStep {
  for (const [name, value] of parameters) {
    if (name === 'replication' && !FALSE.includes(value.toLowerCase())) {
      return refused('0A000', 'replication connections are not possible through a session pool')
    }
  }
  const split = settingsIn(parameters)
  if (split.kind === 'refused') return split
  const { settings } = split
  if (settings.size > SETTINGS_MAX) {
    return refused('54000', `more than ${SETTINGS_MAX} settings in the startup packet`)
  }
  const sets: string[] = []
  const calls: string[] = []
  for (const [name, value] of settings.values()) {
    if (!NAME.test(name)) {
      return refused('42704', `unrecognized configuration parameter "${name}"`)
    }
    if (value.includes('\0')) return refused('22021', `the value of "${name}" has a zero byte`)
    if (isSame(name.toLowerCase(), value, reported)) continue
    if (PLAIN.has(name.toLowerCase())) sets.push(`SET ${name} TO ${literal(value)}`)
    // Not SET, which takes 'a, b' for one name in a list of names. The value is not let out again:
    // the encoding of the client need not have its characters, and then the statement would fail.
    else calls.push(`pg_catalog.set_config(${literal(name)}, ${literal(value)}, false) IS NULL`)
  }
  if (calls.length > 0) sets.push(`SELECT ${calls.join(', ')}`)
  return { kind: 'settings', sql: sets.length === 0 ? null : sets.join('; ') }
}

type Settings =
  | Extract<SettingsStep, { kind: 'refused' }>
  | {
      readonly kind: 'parts'
      readonly settings: ReadonlyMap<string, Parameter>
    }

function settingsIn(parameters: readonly Parameter[]): Settings {
  const settings = new Map<string, Parameter>()
  const options = parameters.findLast(([name]) => name === 'options')?.[1] ?? ''
  const split = splitOptions(options)
  if (split.kind === 'refused') return split
  // As in PostgreSQL: what stands in `options` comes first, so that a parameter of its own wins.
  for (const setting of split.settings) put(settings, setting)
  for (const setting of parameters) {
    if (!NO_SETTINGS.includes(setting[0]) && !isProtocolOption(setting[0])) put(settings, setting)
  }
  return { kind: 'parts', settings }
}

/** The settings that a startup packet asks for, each once; none where they cannot be read. */
export function splitSettings(parameters: readonly Parameter[]): Iterable<Parameter> {
  const split = settingsIn(parameters)
  return split.kind === 'refused' ? [] : split.settings.values()
}

/** A name of the client's own that every server takes as it is. */
const TAKEN_AS_IS = /^[\x20-\x7e]{0,63}$/

/**
 * What a client will see that asks for these settings, on a connection that reports `reported`;
 * null where the server might refuse one of them, or report another value than was asked for.
 */
export function assumedFor(
  parameters: readonly Parameter[],
  reported: ReadonlyMap<string, string>,
): ReadonlyMap<string, string> | null {
  const assumed = new Map(reported)
  for (const [name, value] of parameters) {
    if (name === 'user' || name === 'database' || isProtocolOption(name)) continue
    if (name === 'application_name' && TAKEN_AS_IS.test(value)) assumed.set(name, value)
    else if (!isSame(name.toLowerCase(), value, reported)) return null
  }
  return assumed
}

/** The later of two wins; names of settings are the same in capitals. */
function put(settings: Map<string, Parameter>, setting: Parameter): void {
  const name = setting[0].toLowerCase()
  settings.delete(name)
  settings.set(name, setting)
}

/** Servers report in the capitals of their own documentation, such as TimeZone. */
function reportedAs(name: string, reported: ReadonlyMap<string, string>): string | undefined {
  const exact = reported.get(name)
  if (exact !== undefined) return exact
  for (const [other, value] of reported) {
    if (other.length === name.length && other.toLowerCase() === name) return value
  }
  return undefined
}

function isSame(name: string, value: string, reported: ReadonlyMap<string, string>): boolean {
  const has = reportedAs(name, reported)
  if (has === undefined) return false
  return name === 'client_encoding' ? encoding(has) === encoding(value) : has === value
}

/** `utf-8`, `UTF8` and `unicode` are one encoding. */
function encoding(name: string): string {
  const plain = name.toLowerCase().replace(/[^a-z0-9]/g, '')
  return plain === 'unicode' ? 'utf8' : plain
}

/**
 * A literal that means the same whatever `standard_conforming_strings`, `backslash_quote` and the
 * encodings are: all of it is ASCII, since in some encodings a byte of a longer character is a
 * quote's or a backslash's, and a byte of another encoding could swallow the closing quote.
 */
export function literal(text: string): string {
  const body = text.toWellFormed().replace(/['\\]|[^\x20-\x7e]/gu, (character) => {
    if (character === "'") return "''"
    if (character === '\\') return '\\\\'
    return `\\U${character.codePointAt(0)!.toString(16).padStart(8, '0')}`
  })
  return `E'${body}'`
}

function refused(code: string, message: string): SettingsStep {
  return { kind: 'refused', refused: { code, message } }
}
