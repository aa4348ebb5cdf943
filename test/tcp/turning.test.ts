import { expect, test } from 'bun:test'
import type { Gate } from '../../src/protocols/protocol.ts'
import type { Parts } from '../../src/tcp/standing.ts'
import { turnFlaw } from '../../src/tcp/turning.ts'

const GATE: Gate = { doorkeeper: null, database: 'shop', shares: false, turnedAway() {} }

const CALM = {
  conversation: { loggedIn: true, leaves: 'idle', prepares: false, routable: false },
  toClient: { atRest: true },
  client: { outlet: { full: false } },
  server: { outlet: { full: false } },
}

/** Of each part only what is read. */
const flaw = (changed: object, gate: Gate | null = GATE): string | null =>
  turnFlaw({ ...CALM, ...changed } as unknown as Parts, gate)

test('a session may turn elsewhere between two transactions, where nothing is on its way', () => {
  expect(flaw({})).toBeNull()
  const busy = 'a session that is logged in can be routed only between two transactions'
  for (const conversation of [
    { ...CALM.conversation, leaves: 'transaction' },
    { ...CALM.conversation, leaves: null },
    { ...CALM.conversation, loggedIn: false },
  ]) {
    expect(flaw({ conversation })).toBe(busy)
  }
  expect(flaw({ toClient: { atRest: false } })).toBe(busy)
  expect(flaw({ client: { outlet: { full: true } } })).toBe(busy)
  expect(flaw({ server: { outlet: { full: true } } })).toBe(busy)
})

test('a session that has not begun to log in may turn anywhere', () => {
  const conversation = { ...CALM.conversation, loggedIn: false, leaves: null, routable: true }
  expect(flaw({ conversation }, null)).toBeNull()
})

test('not with a server that has let the client in by itself', () => {
  expect(flaw({}, null)).toBe('a session can be routed only before it logs in')
})

test('not where statements that it has named would stay behind', () => {
  const conversation = { ...CALM.conversation, prepares: true }
  expect(flaw({ conversation })).toContain('prepared statements by name')
})
