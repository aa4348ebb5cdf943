import { describe, expect, test } from 'bun:test'
import type { ChainStep } from '../../src/hooks/chain.ts'
import { CONTINUE, type TrafficVerdict } from '../../src/hooks/verdict.ts'
import type { Flow } from '../../src/protocols/protocol.ts'
import { RAW } from '../../src/protocols/raw.ts'
import { type Account, newAccount } from '../../src/tcp/account.ts'
import type { DirectionHooks } from '../../src/tcp/direction-hooks.ts'
import { Outlet } from '../../src/tcp/outlet.ts'
import { Pump } from '../../src/tcp/pump.ts'
import type { PumpOwner } from '../../src/tcp/pump-owner.ts'
import { bytesOf, SESSION, textOf } from '../hooks/rig.ts'

type Decide = (text: string) => TrafficVerdict | Promise<TrafficVerdict>

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
function parts(decide: Decide | null, options: BenchOptions = {}) {
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

function bench(decide: Decide | null, options: BenchOptions = {}): Bench {
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

async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
}

/** A step whose verdicts come when the test says so, in any order. */
function patient() {
  const waiting: ((verdict: TrafficVerdict) => void)[] = []
  const seen: string[] = []
  const decide: Decide = (text) => {
    seen.push(text)
    return new Promise((resolve) => waiting.push(resolve))
  }
  return { decide, seen, waiting }
}

describe('bytes', () => {
  test('wait for the start, a startup packet without a pause, and more with one', () => {
    const { pump, ends, feed } = bench(null)
    feed('early')
    expect([ends.reading, ends.written]).toEqual([true, ''])
    pump.feed(new Uint8Array(20_000))
    expect(ends.reading).toBe(false)
    ends.room = 50_000
    pump.start()
    expect(ends.reading).toBe(true)
    expect(ends.written).toHaveLength(20_005)
    expect(ends.written).toStartWith('early')
  })

  test('pause their source while the outlet is full', () => {
    const { pump, ends, outlet, feed } = bench(null)
    pump.start()
    ends.room = 3
    feed('abcdef')
    expect([ends.reading, ends.written]).toEqual([false, 'abc'])
    ends.room = 100
    expect(outlet.drained()).toBe(true)
    pump.drained()
    expect([ends.reading, ends.written]).toEqual([true, 'abcdef'])
  })

  test('are counted where they are written', () => {
    const { pump, account, feed } = bench(null)
    pump.start()
    feed('abc')
    expect(account).toMatchObject({ bytesToServer: 3, bytesToClient: 0 })
  })

  test('are remembered as the request where a step asks for it', () => {
    const { pump, told, feed } = bench(null, { keepsRequest: true })
    pump.start()
    feed('abc')
    expect(told).toEqual(['remember abc'])
  })
})

/** A flow that cuts chunks of two bytes: a small letter passes, a capital one is for the steps. */
function cutting(): Flow {
  let rest = bytesOf('')
  const flow: Flow = {
    bytes: rest,
    over: false,
    violation: '',
    full: false,
    pass: () => false,
    push: (chunk) => {
      rest = chunk
    },
    next: () => {
      if (rest.length === 0) return 'none'
      Object.assign(flow, { bytes: rest.length <= 2 ? rest : rest.subarray(0, 2) })
      rest = rest.subarray(2)
      return flow.bytes[0]! < 0x60 ? 'unit' : 'pass'
    },
    end: () => {},
    streamOversize: () => {},
    dropOversize: () => {},
    forward: (bytes) => bytes,
    deny: () => null,
    share: () => 'whole',
    parts: (bytes) => [{ bytes, wanted: true }],
    flaw: () => null,
    release: () => {},
  }
  return flow
}

/** An outlet whose writes are noted one by one. */
function outletInto(writes: string[]): Outlet {
  return new Outlet({
    write: (bytes) => {
      writes.push(textOf(bytes))
      return bytes.length
    },
  })
}

describe('what was read in one piece', () => {
  function gathering(decide: Decide) {
    const writes: string[] = []
    const { hooks, owner, told } = parts(decide)
    const pump = new Pump(cutting(), null, hooks, owner)
    pump.writeTo(outletInto(writes))
    pump.start()
    return { pump, writes, told }
  }

  test('is written in one piece, whoever looked at parts of it', () => {
    const { pump, writes } = gathering(() => CONTINUE)
    pump.feed(bytesOf('aaBBccDD'))
    expect(writes).toEqual(['aaBBccDD'])
  })

  test('keeps its order around what is replaced or taken away', () => {
    const { pump, writes } = gathering((text) =>
      text === 'BB' ? { kind: 'replace', bytes: bytesOf('xyz') } : { kind: 'continue' },
    )
    pump.feed(bytesOf('aabbBBccDDBB'))
    expect(writes).toEqual(['aabb', 'xyz', 'ccDD', 'xyz'])
  })

  test('goes on at once where a step must be waited for', async () => {
    const { decide, waiting } = patient()
    const { pump, writes } = gathering(decide)
    pump.feed(bytesOf('aabbCCdd'))
    expect(writes).toEqual(['aabb'])
    waiting.shift()!(CONTINUE)
    await settle()
    expect(writes.join('')).toEqual('aabbCCdd')
  })

  test('goes before the last words of a session that a step ends', () => {
    const { pump, writes, told } = gathering(() => ({ kind: 'close' }))
    pump.feed(bytesOf('aabbCC'))
    pump.stop()
    expect([writes, told]).toEqual([['aabb'], ['close ']])
  })

  test('goes to the outlet that was there when it was read', () => {
    const later: string[] = []
    const { pump, writes } = gathering(() => {
      pump.writeTo(outletInto(later))
      return CONTINUE
    })
    pump.feed(bytesOf('aaBBcc'))
    expect([writes, later]).toEqual([['aa'], ['BBcc']])
  })
})

describe('a step that takes its time', () => {
  test('pauses the source, and what came already waits in order', async () => {
    const { decide, seen, waiting } = patient()
    const { pump, ends, feed } = bench(decide)
    pump.start()
    feed('a')
    feed('b')
    feed('c')
    expect([seen, ends.reading, ends.written]).toEqual([['a'], false, ''])
    expect(pump.busy).toBe(true)
    waiting.shift()!({ kind: 'replace', bytes: bytesOf('A') })
    await settle()
    expect([seen, ends.reading, ends.written]).toEqual([['a', 'b'], false, 'A'])
    waiting.shift()!(CONTINUE)
    await settle()
    waiting.shift()!(CONTINUE)
    await settle()
    expect([seen, ends.reading, ends.written]).toEqual([['a', 'b', 'c'], true, 'Abc'])
    expect(pump.busy).toBe(false)
  })

  test('does not let the source go on while the outlet is full as well', async () => {
    const { decide, waiting } = patient()
    const { pump, ends, outlet, feed } = bench(decide)
    pump.start()
    ends.room = 0
    feed('a')
    waiting.shift()!(CONTINUE)
    await settle()
    expect(ends.reading).toBe(false)
    ends.room = 10
    outlet.drained()
    pump.drained()
    expect(ends.reading).toBe(true)
  })

  test('that rejects or throws is told, and the pump survives it', async () => {
    const rejecting = bench(() => Promise.reject(new Error('it broke')))
    rejecting.pump.start()
    rejecting.feed('a')
    await settle()
    expect(rejecting.told).toEqual(['Error: it broke'])
    const throwing = bench(() => {
      throw new Error('it broke')
    })
    throwing.pump.start()
    throwing.feed('a')
    expect(throwing.told).toEqual(['Error: it broke'])
  })
})

describe('the end of the source', () => {
  test('is told once, behind all that was sent', async () => {
    const { decide, waiting } = patient()
    const { pump, ends, feed } = bench(decide)
    pump.start()
    feed('a')
    feed('b')
    const order: string[] = []
    pump.end(() => order.push(`ended behind ${ends.written}`))
    waiting.shift()!(CONTINUE)
    await settle()
    expect(order).toEqual([])
    waiting.shift()!(CONTINUE)
    await settle()
    pump.wake()
    expect(order).toEqual(['ended behind ab'])
  })

  test('before the start waits for it', () => {
    const { pump, ends, feed } = bench(null)
    feed('a')
    const order: string[] = []
    pump.end(() => order.push(`ended behind ${ends.written}`))
    expect(order).toEqual([])
    pump.start()
    expect(order).toEqual(['ended behind a'])
  })

  test('is shown to steps that see edges, whose answer changes nothing', () => {
    const seen: string[] = []
    const edges: Decide = (text) => {
      seen.push(`edge "${text}"`)
      return { kind: 'close' }
    }
    const { pump, told, feed } = bench(null, { edges })
    pump.start()
    feed('a')
    pump.end(() => seen.push('ended'))
    expect(seen).toEqual(['edge ""', 'ended'])
    expect(told).toEqual([])
  })
})

describe('the outcome of a chain', () => {
  const outcomes: readonly [TrafficVerdict, readonly string[], string][] = [
    [CONTINUE, [], 'a'],
    [{ kind: 'replace', bytes: bytesOf('b') }, [], 'b'],
    [{ kind: 'respond', bytes: bytesOf('r') }, [], ''],
    [
      { kind: 'deny', code: '42501', message: 'no' },
      ['denied onTrafficFromClient', 'refuse 42501'],
      '',
    ],
    [{ kind: 'route', block: 'reads' }, ['route reads'], 'a'],
    [{ kind: 'close', bytes: bytesOf('bye') }, ['close bye'], ''],
    [{ kind: 'failure', cause: 'it fell' }, ['guard onTrafficFromClient: it fell'], 'a'],
  ]
  for (const [verdict, expected, written] of outcomes) {
    test(`${verdict.kind} goes where it belongs`, () => {
      const { pump, ends, told, feed } = bench(() => verdict)
      pump.start()
      feed('a')
      expect([told, ends.written]).toEqual([[...expected], written])
    })
  }
})

describe('once stopped', () => {
  test('a pump moves nothing more, and lets its source tell that it has closed', async () => {
    const { decide, waiting } = patient()
    const { pump, ends, feed } = bench(decide)
    pump.start()
    feed('a')
    feed('b')
    expect(ends.reading).toBe(false)
    pump.stop()
    expect(ends.reading).toBe(true)
    feed('c')
    waiting.shift()!(CONTINUE)
    await settle()
    expect([ends.written, ends.reading]).toEqual(['', true])
  })
})
