/** A chain over a toy protocol: every byte is a message, and `!` is a malformed one. */
import { Chain, type ChainStep, type Cutter, type Sink } from '../../src/hooks/chain.ts'
import type { Carried, SessionFacts, Unit } from '../../src/hooks/step.ts'
import type { TrafficVerdict } from '../../src/hooks/verdict.ts'

export const SESSION: SessionFacts = {
  id: 'test-1',
  client: { local: '', remote: '' },
  server: { local: '', remote: '' },
  group: 'default',
  block: 'writes',
  protocol: 'toy',
  tls: null,
  user: 'ann',
  database: 'shop',
  applicationName: '',
  lastRequest: new Uint8Array(0),
  memory: new Map(),
}

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text)
export const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

export function tagsOf(letters: string): Uint8Array {
  const tags = new Uint8Array(256)
  for (const letter of letters) tags[letter.charCodeAt(0)] = 1
  return tags
}

export interface Fake {
  readonly decide: (text: string, carried: Carried) => TrafficVerdict | Promise<TrafficVerdict>
  readonly unit?: Unit
  readonly tags?: string
  readonly onFailure?: 'open' | 'closed'
}

/** A step that lets pass, and writes down what it was given. */
export function noting(seen: string[], fake: Partial<Fake> = {}): Fake {
  return {
    ...fake,
    decide: (text) => {
      seen.push(text)
      return { kind: 'continue' }
    },
  }
}

export const replaceBy = (text: string): TrafficVerdict => ({
  kind: 'replace',
  bytes: bytesOf(text),
})
export const DENY: TrafficVerdict = { kind: 'deny', code: '42501', message: 'no' }
export const FAILURE: TrafficVerdict = { kind: 'failure', cause: 'it fell' }

export interface Rig {
  readonly chain: Chain
  /** What came out, in order: `forward ab`, `deny c 42501`, `failed step0: …`, … */
  readonly out: string[]
  readonly sink: { over: boolean }
  run(text: string, over?: boolean): void | Promise<void>
  /** As `run`, for what must be decided at once: a promise is an error. */
  now(text: string, over?: boolean): void
}

export interface RigOptions {
  /** Blocks that a session can be routed to. */
  readonly blocks?: readonly string[]
  readonly cut?: Unit
  /** The messages that units are made of; left out: all. */
  readonly made?: string
}

const UNITS: readonly Unit[] = ['message', 'batch', 'reply']

export function rig(fakes: readonly Fake[], options: RigOptions = {}): Rig {
  const out: string[] = []
  const widest = Math.max(0, ...fakes.map(({ unit = 'message' }) => UNITS.indexOf(unit)))
  const sink: Sink & { over: boolean } = {
    over: false,
    forward: (bytes) => void out.push(`forward ${textOf(bytes)}`),
    deny: (unit, { code }) => void out.push(`deny ${textOf(unit)} ${code}`),
    respond: (unit, bytes) => void out.push(`respond ${textOf(unit)} ${textOf(bytes)}`),
    route: (_unit, block) => {
      out.push(`route ${block}`)
      return (options.blocks ?? ['reads']).includes(block) ? null : `there is no block "${block}"`
    },
    close: (bytes) => {
      out.push(`close ${bytes === undefined ? '' : textOf(bytes)}`)
      sink.over = true
    },
    failed: (plugin, cause) => void out.push(`failed ${plugin}: ${cause}`),
  }
  const steps = fakes.map(
    (fake, index): ChainStep => ({
      plugin: `step${index}`,
      onFailure: fake.onFailure ?? 'open',
      unit: fake.unit ?? 'message',
      tags: fake.tags === undefined ? null : tagsOf(fake.tags),
      step: { decide: (_session, bytes, carried) => fake.decide(textOf(bytes), carried) },
    }),
  )
  const tags = options.made === undefined ? null : tagsOf(options.made)
  const wanted = { cut: options.cut ?? UNITS[widest]!, tags }
  const chain = new Chain(steps, SESSION, CUTTER, sink, wanted)
  const run = (text: string, over = false): void | Promise<void> =>
    chain.run(bytesOf(text), over, text.charCodeAt(0))
  const now = (text: string, over = false): void => {
    if (run(text, over) instanceof Promise) throw new Error('the chain returned a promise')
  }
  return { chain, out, sink, run, now }
}

const malformed = (bytes: Uint8Array): string | null =>
  textOf(bytes).includes('!') ? 'it has a "!"' : null

const CUTTER: Cutter = {
  flaw: malformed,
  answerFlaw: malformed,
  share(bytes, cut, tags) {
    const parts = this.parts(bytes, cut, tags)
    if (!parts.some(({ wanted }) => wanted)) return 'none'
    return parts.length === 1 ? 'whole' : 'parts'
  },
  parts(bytes: Uint8Array, cut: Unit, tags: Uint8Array | null) {
    const parts: { bytes: Uint8Array; wanted: boolean }[] = []
    let from = 0
    const wanted = (at: number): boolean => tags === null || tags[bytes[at]!] === 1
    for (let at = 1; at <= bytes.length; at++) {
      const goesOn = at < bytes.length && wanted(at) === wanted(from)
      if (goesOn && (cut !== 'message' || !wanted(from))) continue
      parts.push({ bytes: bytes.subarray(from, at), wanted: wanted(from) })
      from = at
    }
    return parts
  },
}
