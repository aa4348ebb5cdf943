/** Which groups may speak in datagrams. */
import { expect, test } from 'bun:test'
import { checkNetworks, isUdp } from '../../src/config/datagrams.ts'
import { Draft, type WrittenMap } from '../../src/config/draft.ts'
import { Problems } from '../../src/config/problem.ts'

function flaws(root: WrittenMap): string {
  const problems = new Problems()
  const draft = new Draft('file', root)
  checkNetworks(draft, 'g', problems)
  return problems.error().message
}

const none = { pools: { g: { b: { mode: 'none' } } } }

test('udp is found however it is written', () => {
  const draft = new Draft('file', { servers: { g: { network: 'UDP' }, h: {} } })
  expect(isUdp(draft, ['servers', 'g'])).toBe(true)
  expect(isUdp(draft, ['servers', 'h'])).toBe(false)
})

test('both sides of a group must speak so', () => {
  const [udp, tcp] = [{ network: 'udp' }, { network: 'tcp' }]
  expect(flaws({ servers: { g: udp }, clients: { g: { b: tcp } }, ...none })).toContain(
    'clients.g.b.network must be udp, because servers.g.network is udp',
  )
  expect(flaws({ servers: { g: {} }, clients: { g: { b: udp } }, ...none })).toContain(
    'clients.g.b.network must not be udp, because servers.g.network is not',
  )
  expect(flaws({ servers: { g: udp }, clients: { g: { b: udp } }, ...none })).not.toContain('g.b')
})

test('a pool is refused', () => {
  const udp = { network: 'udp' }
  const pools = { g: { b: { size: 5 } } }
  expect(flaws({ servers: { g: udp }, clients: { g: { b: udp } }, pools })).toContain(
    'pools.g.b must be left out, or be mode: none, for the network udp',
  )
})
