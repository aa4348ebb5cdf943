/**
 * The settings of a session: what the server reports of it, and what the client has asked for at
 * its login beside that. Sessions with the same settings share one object, so that looking whether
 * a connection has those of a client is one comparison.
 */
import { type SettingsStep, settingsFor, splitSettings } from '../login/session-settings.ts'
import type { Parameter } from '../login/startup-parameters.ts'

/** Parameters that no SET changes, so that they are the connection's own. */
const FIXED: ReadonlySet<string> = new Set([
  'in_hot_standby',
  'integer_datetimes',
  'is_superuser',
  'server_encoding',
  'server_version',
  'session_authorization',
  'system_user',
])

type Texts = ReadonlyMap<string, string>

export const NO_TEXTS: Texts = new Map()
/** Profiles known at once; beyond that equal ones are no longer one object, which costs a look. */
const PROFILES_MAX = 10_000
/** The same for their texts, in characters: a client may set one to anything. */
const CHARACTERS_MAX = 4_194_304

export interface Profile {
  /** As the server reports them. */
  readonly parameters: Texts
  /** Asked for by the client when it connected, and not reported; by name in lower case. */
  readonly unreported: Texts
  /** Names what statements may be read by: all of this but the name of the application. */
  readonly dialect: string
}

export class Profiles {
  readonly #known = new Map<string, Profile>()
  #characters = 0

  /** The one object for these settings; both maps are copied where it is made. */
  of(parameters: Texts, unreported: Texts): Profile {
    const key = keyOf(parameters, unreported, '')
    const known = this.#known.get(key)
    if (known !== undefined) return known
    const dialect = keyOf(parameters, unreported, 'application_name')
    const made = {
      parameters: new Map(parameters),
      unreported: new Map(unreported),
      dialect: Bun.hash(dialect).toString(36),
    }
    this.#characters += key.length
    if (this.#known.size >= PROFILES_MAX || this.#characters > CHARACTERS_MAX) {
      this.#known.clear()
      this.#characters = key.length
    }
    this.#known.set(key, made)
    return made
  }
}

function keyOf(parameters: Texts, unreported: Texts, without: string): string {
  let key = ''
  for (const name of [...parameters.keys()].sort()) {
    if (name !== without) key += `${name}\0${parameters.get(name)}\0`
  }
  key += '\0'
  for (const name of [...unreported.keys()].sort()) key += `${name}\0${unreported.get(name)}\0`
  return key
}

/** True for a parameter, by its name in lower case, of which the server tells every change. */
export function isFollowed(name: string, reported: Texts): boolean {
  if (FIXED.has(name)) return false
  for (const other of reported.keys()) if (other.toLowerCase() === name) return true
  return false
}

/** What to say to a connection that is to have the settings of a profile. */
export function profileStep(wanted: Profile, reported: Texts, unreported: Texts): SettingsStep {
  const settings: Parameter[] = []
  for (const [name, value] of wanted.parameters) {
    if (!FIXED.has(name) && reported.get(name) !== value) settings.push([name, value])
  }
  for (const [name, value] of wanted.unreported) {
    if (unreported.get(name) !== value) settings.push([name, value])
  }
  const step = settingsFor(settings, reported)
  if (step.kind === 'refused') return step
  const resets = [...unreported.keys()]
    .filter((name) => !wanted.unreported.has(name))
    .map((name) => `RESET ${name}`)
  const statements = step.sql === null ? resets : [...resets, step.sql]
  return { kind: 'settings', sql: statements.length === 0 ? null : statements.join('; ') }
}

/** What a startup packet asks for, and the server does not report. */
export function unreportedOf(parameters: readonly Parameter[], reported: Texts): Texts {
  const names = new Set([...reported.keys()].map((name) => name.toLowerCase()))
  const found = new Map<string, string>()
  for (const [name, value] of splitSettings(parameters)) {
    if (!names.has(name.toLowerCase())) found.set(name.toLowerCase(), value)
  }
  return found.size === 0 ? NO_TEXTS : found
}
