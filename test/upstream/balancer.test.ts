import { describe, expect, test } from 'bun:test'
import {
  type Asking,
  type Balancer,
  type Balancing,
  createBalancer,
  type Strategy,
} from '../../src/upstream/balancer.ts'
import { Upstream } from '../../src/upstream/upstream.ts'

const NOBODY: Asking = {}
const STRATEGIES: readonly Strategy[] = [
  'ROUND_ROBIN',
  'RANDOM',
  'WEIGHTED_ROUND_ROBIN',
  'LEAST_CONNECTIONS',
]

const upstreamNamed = (block: string): Upstream =>
  new Upstream({
    group: 'default',
    block,
    address: { network: 'tcp', host: '127.0.0.1', port: 1 },
    dialTimeoutMs: 0,
    retries: 0,
    backoffMs: 0,
    backoffMultiplier: 1,
    disableBackoffCaps: false,
    tcpKeepAliveMs: null,
  })

/** A balancer over the blocks a, b and c, some of which are out. */
function balance(strategy: Strategy, balancing: Balancing & { readonly out?: string } = {}) {
  const { out = '' } = balancing
  const upstreams = ['a', 'b', 'c'].map(upstreamNamed)
  for (const { block, health } of upstreams) if (out.includes(block)) health.dialFailed('gone')
  return createBalancer(upstreams, strategy, balancing)
}

const from = (remoteAddress: string): Asking => ({ remoteAddress, remotePort: 50_000 })
const turns = (balancer: Balancer, count: number, client = NOBODY): string =>
  Array.from({ length: count }, () => balancer.next(client).block).join('')

/** How many sessions of all went to each block. */
const shares = (blocks: string) =>
  Object.fromEntries([...'abc'].map((block) => [block, blocks.split(block).length - 1]))

describe('in turn', () => {
  test('every block gets its share, in the order of the file', () => {
    expect(turns(balance('ROUND_ROBIN'), 7)).toBe('abcabca')
  })

  test('blocks that are out get nothing, and the others share evenly', () => {
    expect(turns(balance('ROUND_ROBIN', { out: 'a' }), 6)).toBe('bcbcbc')
    expect(turns(balance('ROUND_ROBIN', { out: 'ac' }), 3)).toBe('bbb')
  })

  test('all are tried when all are out', () => {
    expect(turns(balance('ROUND_ROBIN', { out: 'abc' }), 6)).toBe('abcabc')
  })

  test('a block that comes back gets its share again, and not more', () => {
    const balancer = balance('ROUND_ROBIN', { out: 'b' })
    expect(shares(turns(balancer, 100))).toEqual({ a: 50, b: 0, c: 50 })
    balancer.named('b')?.health.connected()
    expect(shares(turns(balancer, 300))).toEqual({ a: 100, b: 100, c: 100 })
  })
})

describe('by weight', () => {
  const weights = new Map(Object.entries({ a: 5, b: 1, c: 1 }))

  test('sessions are shared out smoothly, never in bursts', () => {
    expect(turns(balance('WEIGHTED_ROUND_ROBIN', { weights }), 14)).toBe('aabacaaaabacaa')
  })

  test('a block without a weight gets no sessions, not even when the others are out', () => {
    const some = new Map(Object.entries({ a: 1, b: 1 }))
    for (const out of ['', 'a', 'ab']) {
      const balancer = balance('WEIGHTED_ROUND_ROBIN', { weights: some, out })
      expect(turns(balancer, 20)).not.toContain('c')
      const failed = balancer.named('b')!
      expect(balancer.instead(NOBODY, failed, new Set())?.block).toBe('a')
    }
  })

  test('weights are kept among those that are not out', () => {
    const three = new Map(Object.entries({ a: 3, b: 1, c: 9 }))
    const balancer = balance('WEIGHTED_ROUND_ROBIN', { weights: three, out: 'c' })
    expect(shares(turns(balancer, 400))).toEqual({ a: 300, b: 100, c: 0 })
  })

  test('weights are without effect on other strategies', () => {
    expect(turns(balance('ROUND_ROBIN', { weights }), 3)).toBe('abc')
  })
})

describe('to the fewest sessions', () => {
  /** Chooses as often, and each session stays. */
  const filled = (balancer: Balancer, count: number): string =>
    Array.from({ length: count }, () => {
      const upstream = balancer.next(NOBODY)
      upstream.sessions += 1
      return upstream.block
    }).join('')

  test('a block gets sessions until it has as many as the others', () => {
    const balancer = balance('LEAST_CONNECTIONS')
    balancer.named('a')!.sessions = 3
    balancer.named('b')!.sessions = 1
    expect(shares(filled(balancer, 5))).toEqual({ a: 0, b: 2, c: 3 })
    expect(shares(filled(balancer, 300))).toEqual({ a: 100, b: 100, c: 100 })
  })

  test('among equals in turn, so that a first one is no favourite', () => {
    expect(turns(balance('LEAST_CONNECTIONS'), 6)).toBe('abcabc')
  })

  test('weights are kept, and a block without one gets nothing', () => {
    const some = new Map(Object.entries({ a: 3, b: 1 }))
    const balancer = balance('LEAST_CONNECTIONS', { weights: some })
    expect(shares(filled(balancer, 400))).toEqual({ a: 300, b: 100, c: 0 })
  })

  test('no rules are no weights', () => {
    const balancer = balance('LEAST_CONNECTIONS', { weights: new Map() })
    expect(shares(filled(balancer, 30))).toEqual({ a: 10, b: 10, c: 10 })
  })

  test('a block that is out gets nothing, and gets more when it is back', () => {
    const balancer = balance('LEAST_CONNECTIONS', { out: 'c' })
    expect(shares(filled(balancer, 20))).toEqual({ a: 10, b: 10, c: 0 })
    balancer.named('c')?.health.connected()
    expect(shares(filled(balancer, 10))).toEqual({ a: 0, b: 0, c: 10 })
  })
})

describe('at random', () => {
  test('every block gets sessions sooner or later, and nothing else happens', () => {
    expect(new Set(turns(balance('RANDOM'), 500))).toEqual(new Set('abc'))
  })

  test('blocks that are out get nothing', () => {
    expect(new Set(turns(balance('RANDOM', { out: 'b' }), 500))).toEqual(new Set('ac'))
  })
})

describe('by the address of the client', () => {
  const hash = { addressOnly: true }
  const clients = Array.from({ length: 600 }, (_, at) => `10.1.${at >> 8}.${at & 255}`)
  const homes = (balancer: Balancer): string =>
    clients.map((address) => balancer.next(from(address)).block).join('')

  test('a client stays on its block, whichever its port and the order of the blocks', () => {
    const balancer = balance('ROUND_ROBIN', { hash })
    const others = createBalancer(['c', 'a', 'b'].map(upstreamNamed), 'RANDOM', { hash })
    for (const address of clients.slice(0, 50)) {
      const { block } = balancer.next(from(address))
      expect(others.next({ remoteAddress: address, remotePort: 7 }).block).toBe(block)
      expect(turns(balancer, 3, from(address))).toBe(block.repeat(3))
    }
  })

  test('clients spread over all blocks, and when one goes only its own move', () => {
    const before = homes(balance('ROUND_ROBIN', { hash }))
    for (const count of Object.values(shares(before))) expect(count).toBeGreaterThan(150)
    const after = homes(balance('ROUND_ROBIN', { hash, out: 'b' }))
    expect(after).not.toContain('b')
    for (const [at, block] of [...before].entries()) {
      if (block !== 'b') expect(after[at]).toBe(block)
    }
    expect(new Set([...after].filter((_, at) => before[at] === 'b'))).toEqual(new Set('ac'))
  })

  test('weights are kept where the strategy has them', () => {
    const weights = new Map(Object.entries({ a: 4, b: 1 }))
    const { a, b, c } = shares(homes(balance('WEIGHTED_ROUND_ROBIN', { hash, weights })))
    expect({ isShared: a! > 3 * b! && b! > 60, c }).toEqual({ isShared: true, c: 0 })
  })

  test('with the port, each connection is a client of its own', () => {
    const balancer = balance('ROUND_ROBIN', { hash: { addressOnly: false } })
    const blocks = Array.from({ length: 60 }, (_, at) => {
      const client = { remoteAddress: '10.0.0.1', remotePort: 40_000 + at }
      expect(balancer.next(client)).toBe(balancer.next(client))
      return balancer.next(client).block
    })
    expect(new Set(blocks)).toEqual(new Set('abc'))
  })

  test('clients without an address are shared out by the strategy', () => {
    expect(turns(balance('ROUND_ROBIN', { hash }), 6)).toBe('abcabc')
  })
})

describe('instead of a block that failed', () => {
  const weights = new Map(Object.entries({ a: 1, b: 1, c: 1 }))
  const client = from('10.0.0.1')

  test.each([...STRATEGIES])('%s gives a healthy one, else one not tried yet', (strategy) => {
    for (const hash of [undefined, { addressOnly: true }]) {
      const balancer = balance(strategy, { hash, weights, out: 'b' })
      const [a, b, c] = ['a', 'b', 'c'].map((block) => balancer.named(block)!)
      const tried = new Set([a!])
      expect(balancer.hasOther(a!, tried)).toBe(true)
      expect(balancer.instead(client, a!, tried)).toBe(c!)
      a!.health.dialFailed('gone')
      c!.health.attemptFailed('slow')
      tried.add(c!)
      expect(balancer.instead(client, c!, tried)).toBe(b!)
      tried.add(b!)
      expect(balancer.hasOther(b!, tried)).toBe(false)
      expect(balancer.instead(client, b!, tried)).toBeNull()
      a!.health.connected()
      expect(balancer.instead(client, b!, tried)).toBe(a!)
    }
  })
})

test('a block is found by its name, and no other is', () => {
  const balancer = balance('ROUND_ROBIN')
  expect(balancer.named('b')).toBe(balancer.upstreams[1])
  expect(balancer.named('nowhere')).toBeUndefined()
})

test('of one block there is no choice, whether it is out or not', () => {
  for (const strategy of STRATEGIES) {
    for (const hash of [undefined, { addressOnly: true }]) {
      const balancer = createBalancer([upstreamNamed('a')], strategy, { hash })
      expect(turns(balancer, 3, from('10.0.0.1'))).toBe('aaa')
      balancer.named('a')?.health.dialFailed('gone')
      expect(turns(balancer, 3, from('10.0.0.1'))).toBe('aaa')
    }
  }
})
