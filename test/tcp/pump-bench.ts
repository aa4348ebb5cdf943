/** A pump between a source and an outlet that a test holds in its hands. */
import type { ChainStep } from '../../src/hooks/chain.ts'
import type { TrafficVerdict } from '../../src/hooks/verdict.ts'
import { RAW } from '../../src/protocols/raw.ts'
import { type Account, newAccount } from '../../src/tcp/account.ts'
import type { DirectionHooks } from '../../src/tcp/direction-hooks.ts'
import { Outlet } from '../../src/tcp/outlet.ts'
import { Pump } from '../../src/tcp/pump.ts'
import type { PumpOwner } from '../../src/tcp/pump-owner.ts'
import { bytesOf, SESSION, textOf } from '../hooks/rig.ts'

export type Decide = (text: string) => TrafficVerdict | Promise<TrafficVerdict>

/** A socket that is read and one that is written, as far as a pump can tell. */
class Ends {
  reading = true
  /** Bytes that the written side takes before it is full. */
  room = 1000
  written = ''

  pause(): void {
    this.reading = false
  }
  resume(): void {
    this.reading = true
  }
  write(bytes: Uint8Array): number {
    const taken = Math.min(this.room, bytes.length)
    this.room -= taken
    this.written += textOf(bytes.subarray(0, taken))
    return taken
  }
}

interface Bench {
  readonly pump: Pump
  readonly ends: Ends
  readonly outlet: Outlet
  readonly account: Account
  /** What the pump told its session, in order. */
  readonly told: string[]
  feed(text: string): void
}

interface BenchOptions {
  readonly edges?: Decide
  readonly keepsRequest?: boolean
}

/** The hooks and the session of a pump. */
export function parts(decide: Decide | null, options: BenchOptions = {}) {
  const told: string[] = []
  const tags = decide === null ? null : new Uint8Array(256).fill(1)
  const wanted = { cut: 'message', tags } as const
  const step = (judge: Decide): ChainStep => ({
    plugin: 'guard',
    onFailure: 'open',
    unit: 'message',
    tags: null,
    step: { decide: (_session, bytes) => judge(textOf(bytes)) },
  })
  const { edges } = options
  const hooks: DirectionHooks = {
    decides: 'onTrafficFromClient',
    observes: 'onTrafficToServer',
    wanted,
    steps: decide === null ? [] : [step(decide)],
    edges: edges === undefined ? [] : [edgeStep(edges)],
    observers: [],
    keepsRequest: options.keepsRequest ?? false,
  }
  return { told, wanted, hooks, owner: ownerTelling(told) }
}

export function bench(decide: Decide | null, options: BenchOptions = {}): Bench {
  const { told, wanted, hooks, owner } = parts(decide, options)
  const conversation = RAW.converse({
    fromClient: wanted,
    fromServer: { cut: 'message', tags: null },
    limits: { messageBytesMax: 1000, budget: { held: 0, heldMax: 1000, spent: 0 } },
    waker: { wakeToServer: () => {}, wakeToClient: () => {} },
    gate: null,
  })
  const ends = new Ends()
  const outlet = new Outlet(ends)
  const { fromClient } = conversation
  const { account } = owner.around
  const pump = new Pump(fromClient, fromClient, hooks, owner)
  pump.readFrom(ends)
  pump.writeTo(outlet)
  return { pump, ends, outlet, account, told, feed: (text) => pump.feed(bytesOf(text)) }
}

function edgeStep(decide: Decide): DirectionHooks['edges'][number] {
  return {
    plugin: 'guard',
    priority: 1,
    onFailure: 'open',
    unit: 'message',
    messages: null,
    needsRequest: false,
    seesEdges: true,
    decide: (_session, bytes) => decide(textOf(bytes)),
  }
}

function ownerTelling(told: string[]): PumpOwner {
  return {
    around: {
      account: newAccount(),
      stepFailed: (plugin, hook, cause) => void told.push(`${plugin} ${hook}: ${cause}`),
      denied: (hook) => void told.push(`denied ${hook}`),
    },
    facts: SESSION,
    line: null,
    close: (words) => void told.push(`close ${words === null ? '' : textOf(words)}`),
    refuse: ({ code }) => void told.push(`refuse ${code}`),
    violated: (sentence) => void told.push(`violated ${sentence}`),
    cancel: () => void told.push('cancel'),
    admitted: async () => void told.push('admitted'),
    secure: (hello) => void told.push(`secure ${textOf(hello)}`),
    route: (block) => {
      told.push(`route ${block}`)
      return null
    },
    rememberRequest: (bytes) => void told.push(`remember ${textOf(bytes)}`),
    progressed: () => {},
    broke: (thrown) => void told.push(String(thrown)),
  }
}

export async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
}

/** A step whose verdicts come when the test says so, in any order. */
export function patient() {
  const waiting: ((verdict: TrafficVerdict) => void)[] = []
  const seen: string[] = []
  const decide: Decide = (text) => {
    seen.push(text)
    return new Promise((resolve) => waiting.push(resolve))
  }
  return { decide, seen, waiting }
}
