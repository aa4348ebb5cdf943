import { expect, test } from 'bun:test'
import { createBalancer } from '../../src/upstream/balancer.ts'
import { Upstream } from '../../src/upstream/upstream.ts'

const upstreams = ['writes', 'reads', 'more'].map(
  (block) =>
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
    }),
)

test('in turn, every block gets its share, in the order of the file', () => {
  const balancer = createBalancer(upstreams, 'ROUND_ROBIN')
  const turns = Array.from({ length: 7 }, () => balancer.next().block)
  expect(turns).toEqual(['writes', 'reads', 'more', 'writes', 'reads', 'more', 'writes'])
})

test('at random, every block gets sessions sooner or later, and nothing else happens', () => {
  const balancer = createBalancer(upstreams, 'RANDOM')
  const chosen = new Set(Array.from({ length: 500 }, () => balancer.next().block))
  expect([...chosen].sort()).toEqual(['more', 'reads', 'writes'])
})

test('a block is found by its name, and no other is', () => {
  const balancer = createBalancer(upstreams, 'ROUND_ROBIN')
  expect(balancer.named('reads')).toBe(upstreams[1])
  expect(balancer.named('nowhere')).toBeUndefined()
  expect(balancer.upstreams).toBe(upstreams)
})

test('of one block there is no choice', () => {
  for (const strategy of ['ROUND_ROBIN', 'RANDOM'] as const) {
    const balancer = createBalancer(upstreams.slice(0, 1), strategy)
    for (let turn = 0; turn < 3; turn++) expect(balancer.next().block).toBe('writes')
  }
})
