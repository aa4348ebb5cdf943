import { expect, test } from 'bun:test'
import { type Parts, SessionStanding } from '../../src/tcp/standing.ts'

interface Situation {
  owes: boolean
  busy: boolean
  full: boolean
  isServed: boolean
  kept: number
}

/** Of each part only what is read. */
function standing({ owes, busy, full, isServed, kept }: Situation): SessionStanding {
  const parts = {
    conversation: { owes, loggedIn: true, awaitsServer: owes },
    toServer: { busy },
    toClient: { busy: false },
    client: { outlet: { full } },
    server: { socket: isServed ? {} : null, outlet: { kept } },
    waits: {},
  }
  return new SessionStanding(parts as unknown as Parts)
}

const CALM = { owes: false, busy: false, full: false, isServed: true, kept: 0 }

test('something is under way where a reply is owed or a step is waited for', () => {
  expect(standing(CALM).underWay).toBeFalse()
  expect(standing({ ...CALM, owes: true }).underWay).toBeTrue()
  expect(standing({ ...CALM, busy: true }).underWay).toBeTrue()
})

test('the server is awaited only where nobody else is', () => {
  const owing = { ...CALM, owes: true }
  expect(standing(owing).awaitsServer).toBeTrue()
  for (const other of [{ busy: true }, { full: true }, { isServed: false }]) {
    expect(standing({ ...owing, ...other }).awaitsServer).toBeFalse()
  }
})

test('bytes are kept for a server that is there', () => {
  expect(standing({ ...CALM, kept: 7 }).keptForServer).toBe(7)
  expect(standing({ ...CALM, kept: 7, isServed: false }).keptForServer).toBe(0)
})
