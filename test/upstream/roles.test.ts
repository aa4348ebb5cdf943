/** Which block for the primary has the role, whatever databases say of themselves, and when. */
import { describe, expect, test } from 'bun:test'
import { createBalancer } from '../../src/upstream/balancer.ts'
import { type FoundRole, Roles, type WantedRole } from '../../src/upstream/roles.ts'
import { Upstream } from '../../src/upstream/upstream.ts'

const upstreamNamed = (block: string, role: WantedRole): Upstream =>
  new Upstream({
    group: 'default',
    block,
    role,
    address: { network: 'tcp', host: '127.0.0.1', port: 1 },
    dialTimeoutMs: 0,
    retries: 0,
    backoffMs: 0,
    backoffMultiplier: 1,
    disableBackoffCaps: false,
    tcpKeepAliveMs: null,
  })

const STANDBY: FoundRole = { kind: 'standby', timeline: 0 }
const primaryOf = (timeline: number): FoundRole => ({ kind: 'primary', timeline })

/** Two blocks for the primary, one for a standby; whoever is told of moves is `events`. */
function setGroup() {
  const events: string[] = []
  const [a, b] = [upstreamNamed('a', 'primary'), upstreamNamed('b', 'primary')]
  const reads = upstreamNamed('reads', 'standby')
  const upstreams = [a, b, reads]
  const makeRoles = (): Roles =>
    new Roles(upstreams, {
      moved: (to, from) => events.push(`${from?.block ?? '-'} to ${to.block}`),
      lost: (last) => events.push(`${last.block} to -`),
      outdated: (one, holder) => events.push(`${one.block} is older than ${holder.block}`),
    })
  const roles = makeRoles()
  roles.keep()
  const fitting = (): string =>
    upstreams
      .filter(({ role }) => role.fits)
      .map(({ block }) => block)
      .join(' ')
  return { a, b, reads, events, fitting, makeRoles, upstreams }
}

describe('of the blocks for the primary', () => {
  test('all may be it while nothing is known, and none that is a standby', () => {
    const { a, fitting, events } = setGroup()
    expect(fitting()).toBe('a b reads')
    a.role.learn(STANDBY)
    expect(fitting()).toBe('b reads')
    expect(events).toEqual([])
  })

  test('the one that is it has the role, and the others have not', () => {
    const { a, b, fitting, events } = setGroup()
    b.role.learn(primaryOf(1))
    a.role.learn(STANDBY)
    expect(fitting()).toBe('b reads')
    expect(a.role.displaced).toBeTrue()
    expect(b.role).toMatchObject({ displaced: false, promotions: 0, known: 'primary' })
    expect(events).toEqual(['- to b'])
  })

  test('one that is gone keeps the role until another is promoted', () => {
    const { a, b, fitting, events } = setGroup()
    a.role.learn(primaryOf(1))
    b.role.learn(STANDBY)
    a.health.dialFailed('ECONNREFUSED')
    expect(fitting()).toBe('a reads')
    b.role.learn(primaryOf(2))
    expect(fitting()).toBe('b reads')
    expect(b.role.promotions).toBe(1)
    expect(events).toEqual(['- to a', 'a to b'])
  })

  test('no one has it when the one that had is a standby now', () => {
    const { a, b, fitting, events } = setGroup()
    a.role.learn(primaryOf(1))
    b.role.learn(STANDBY)
    a.role.learn(STANDBY)
    expect(fitting()).toBe('reads')
    b.role.learn(STANDBY)
    b.role.learn(primaryOf(2))
    expect(fitting()).toBe('b reads')
    expect(events).toEqual(['- to a', 'a to -', 'a to b'])
  })

  test('an old primary that comes back does not get it, and that is told once', () => {
    const { a, b, fitting, events } = setGroup()
    b.role.learn(primaryOf(2))
    a.role.learn(primaryOf(1))
    b.health.dialFailed('ECONNREFUSED')
    a.role.learn(primaryOf(1))
    expect(fitting()).toBe('b reads')
    expect(events).toEqual(['- to b', 'a is older than b'])
  })

  test('of two with one history the one that has it keeps it while it is up', () => {
    const { a, b, fitting } = setGroup()
    b.role.learn(primaryOf(1))
    a.role.learn(primaryOf(1))
    expect(fitting()).toBe('b reads')
    b.health.dialFailed('ECONNREFUSED')
    a.role.learn(primaryOf(1))
    expect(fitting()).toBe('a reads')
  })
})

test('a block for standbys with the primary behind it is the last to be chosen', () => {
  const { reads } = setGroup()
  reads.role.learn(primaryOf(1))
  expect(reads.role).toMatchObject({ fits: false, displaced: false })
})

test('a reload knows who has the role, and what was built before it changes nothing', () => {
  const { a, b, events, fitting, makeRoles } = setGroup()
  a.role.learn(primaryOf(1))
  b.role.learn(STANDBY)
  const old = a.role.keeper!
  makeRoles().keep()
  expect(fitting()).toBe('a reads')
  b.role.learn(primaryOf(2))
  old.settle()
  expect(fitting()).toBe('b reads')
  expect(events.filter((event) => event === '- to a')).toHaveLength(1)
  expect(b.role.promotions).toBe(1)
})

describe('a balancer', () => {
  const client = {}

  test('sends to the primary whoever nobody sends elsewhere, and never to standbys', () => {
    const { a, b, upstreams } = setGroup()
    const balancer = createBalancer(upstreams, 'ROUND_ROBIN')
    expect(balancer.hasRoles).toBeTrue()
    a.role.learn(STANDBY)
    b.role.learn(primaryOf(1))
    for (let turn = 0; turn < 5; turn++) expect(balancer.next(client)).toBe(b)
    b.health.dialFailed('ECONNREFUSED')
    for (let turn = 0; turn < 5; turn++) expect(balancer.next(client)).toBe(b)
    expect(balancer.instead(client, b, new Set([b]))).toBeNull()
  })

  test('has a block of the same role stand in for one that cannot have it', () => {
    const { a, b, reads, upstreams } = setGroup()
    const reads2 = upstreamNamed('reads2', 'standby')
    const balancer = createBalancer([...upstreams, reads2], 'ROUND_ROBIN')
    a.role.learn(STANDBY)
    b.role.learn(primaryOf(1))
    expect(balancer.acting(a, client)).toBe(b)
    expect(balancer.acting(b, client)).toBe(b)
    expect(balancer.acting(reads, client)).toBe(reads)
    reads.health.dialFailed('ECONNREFUSED')
    expect(balancer.acting(reads, client)).toBe(reads2)
    reads2.health.dialFailed('ECONNREFUSED')
    expect(balancer.acting(reads, client)).toBe(reads)
  })

  test('uses all blocks of a group that are for standbys', () => {
    const both = ['reads', 'reads2'].map((block) => upstreamNamed(block, 'standby'))
    const balancer = createBalancer(both, 'ROUND_ROBIN')
    expect([balancer.next(client), balancer.next(client)]).toEqual(both)
  })
})
