/** What a step of a test file expects, read once; what it does not name is not compared. */
import {
  below,
  Flaw,
  isMap,
  onlyKeys,
  plainText,
  type Readable,
  type ReadableMap,
  spelledBytes,
} from './bytes.ts'
import { checkCode } from './fields.ts'
import { nameAndBody, readableMessages, type Side } from './messages.ts'

export const VERDICTS = [
  'continue',
  'replace',
  'respond',
  'deny',
  'close',
  'route',
  'merge',
  'failure',
] as const
export type VerdictKind = (typeof VERDICTS)[number]

/** A verdict as it is compared; null: the kind alone. */
export interface ExpectedVerdict {
  readonly kind: VerdictKind
  readonly body: Readable
}

/** Null: not compared. */
export interface Expectation {
  /** One for each call; empty: the plugin must not be asked. */
  readonly verdicts: readonly ExpectedVerdict[] | null
  readonly log: readonly Readable[] | null
  readonly signals: readonly Readable[] | null
  /** A map is compared key by key; `none`: nothing must have been recorded. */
  readonly metrics: ReadableMap | 'none' | null
  readonly kv: ReadableMap | 'none' | null
  readonly session: ReadableMap | 'none' | null
  readonly toServer: readonly Readable[] | null
  readonly toClient: readonly Readable[] | null
}

const KEYS = [
  'verdict',
  'log',
  'signals',
  'metrics',
  'kv',
  'session',
  'toServer',
  'toClient',
] as const
export const NOT_ASKED = 'not asked'

/** A step that says nothing expects that the plugin does not fail. */
export const NOTHING_EXPECTED: Expectation = {
  verdicts: null,
  log: null,
  signals: null,
  metrics: null,
  kv: null,
  session: null,
  toServer: null,
  toClient: null,
}

/** A written message in the form in which messages are shown. */
function expectedMessage(written: Readable, side: Side): readonly Readable[] {
  const spelled = isMap(written) ? spelledBytes(written) : null
  if (spelled !== null && isMap(written) && !('text' in written)) {
    return readableMessages(spelled, side)
  }
  if (spelled !== null) return [written]
  const [name, body] = nameAndBody(written, side)
  return [body === null ? name : { [name]: body }]
}

function messages(written: Readable, side: Side): readonly Readable[] {
  if (written === 'none') return []
  if (!Array.isArray(written)) return expectedMessage(written, side)
  return written.flatMap((item: Readable, place) => below(place, () => expectedMessage(item, side)))
}

const REFUSAL_KEYS = ['code', 'message', 'detail', 'hint']

function refusal(body: Readable): Readable {
  if (typeof body === 'string') return { message: body }
  if (!isMap(body)) throw new Flaw('must be a map such as { code: 42501, message: no }')
  onlyKeys(body, REFUSAL_KEYS)
  if (body['code'] !== undefined) below('code', () => checkCode(body['code']))
  return body
}

function verdictBody(kind: VerdictKind, body: Readable, side: Side): Readable {
  switch (kind) {
    case 'replace':
      return messages(body, side)
    case 'respond':
    case 'close':
      return messages(body, 'server')
    case 'deny':
      return refusal(body)
    case 'route':
      return plainText(body)
    case 'continue':
      throw new Flaw('must be empty: a plugin that says continue says no more')
    case 'merge':
    case 'failure':
      return body
  }
}

function verdictNamed(name: string): VerdictKind {
  const kind = VERDICTS.find((known) => known === name)
  if (kind !== undefined) return kind
  throw new Flaw(`must be ${NOT_ASKED}, or one of ${VERDICTS.join(', ')}`)
}

function verdict(written: Readable, side: Side): ExpectedVerdict {
  if (typeof written === 'string') return { kind: verdictNamed(written), body: null }
  const [name, ...others] = isMap(written) ? Object.keys(written) : []
  if (!isMap(written) || name === undefined || others.length > 0) {
    throw new Flaw('must be a verdict such as continue or { deny: { code: 42501 } }')
  }
  const kind = verdictNamed(name)
  return { kind, body: below(name, () => verdictBody(kind, written[name] ?? null, side)) }
}

function verdicts(written: Readable, side: Side): readonly ExpectedVerdict[] {
  if (written === NOT_ASKED) return []
  if (!Array.isArray(written)) return [verdict(written, side)]
  return written.map((item: Readable, place) => below(place, () => verdict(item, side)))
}

const LINE_KEYS = ['level', 'message', 'fields']

function lines(written: Readable): readonly Readable[] {
  if (written === 'none') return []
  const items: readonly Readable[] = Array.isArray(written) ? written : [written]
  for (const [place, item] of items.entries()) {
    if (typeof item === 'string') continue
    below(place, () => {
      if (!isMap(item)) throw new Flaw('must be a message, or a map with level, message, fields')
      if (!('matches' in item)) onlyKeys(item, LINE_KEYS)
    })
  }
  return items
}

function signals(written: Readable): readonly Readable[] {
  if (written === 'none') return []
  const items: readonly Readable[] = Array.isArray(written) ? written : [written]
  return items.map((item, place) =>
    below(place, () => {
      if (typeof item === 'string') return { [item]: {} }
      if (isMap(item) && Object.keys(item).length === 1) return item
      throw new Flaw('must be the name of a signal, or a map from it to its metadata')
    }),
  )
}

function changes(written: Readable): ReadableMap | 'none' {
  if (written === 'none' || isMap(written)) return written
  throw new Flaw('must be none, or a map from names to values')
}

/** Reads what stands under `expect`; `side`: who sent what the plugin was shown. Throws a Flaw. */
export function expectationOf(written: unknown, side: Side): Expectation {
  const value = written as Readable
  if (typeof value === 'string') return { ...NOTHING_EXPECTED, verdicts: verdicts(value, side) }
  if (!isMap(value)) throw new Flaw(`must be a verdict, or a map with ${KEYS.join(', ')}`)
  onlyKeys(value, KEYS)
  const at = <Result>(key: (typeof KEYS)[number], read: (inner: Readable) => Result) =>
    Object.hasOwn(value, key) ? below(key, () => read(value[key] ?? null)) : null
  return {
    verdicts: at('verdict', (inner) => verdicts(inner, side)),
    log: at('log', lines),
    signals: at('signals', signals),
    metrics: at('metrics', changes),
    kv: at('kv', changes),
    session: at('session', changes),
    toServer: at('toServer', (inner) => messages(inner, 'client')),
    toClient: at('toClient', (inner) => messages(inner, 'server')),
  }
}
