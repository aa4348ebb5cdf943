/** Roles of databases: what the gateway needs to ask for them, and where they make no sense. */
import { describe, expect, test } from 'bun:test'
import { Draft, type WrittenMap } from '../../src/config/draft.ts'
import { Problems } from '../../src/config/problem.ts'
import { checkRoles } from '../../src/config/roles.ts'

function checked(writes: WrittenMap, server: WrittenMap = {}) {
  const draft = new Draft('f', { clients: { shop: { writes } }, servers: { shop: server } })
  const problems = new Problems()
  const notices = checkRoles(draft, problems)
  return { notices, message: problems.any() ? problems.error().message : '' }
}

const LOGIN = { user: 'ann', password: 'secret' }

describe('a role that is not any', () => {
  test.each(['primary', 'STANDBY'])('%s is asked for with either login', (role) => {
    const fine = { notices: [], message: '' }
    expect(checked({ role, startupParams: LOGIN })).toEqual(fine)
    expect(checked({ role, probeParams: LOGIN })).toEqual(fine)
  })

  test('needs a login, and the error names the key that gives one', () => {
    const { message } = checked({ role: 'primary' })
    expect(message).toContain('clients.shop.writes.role: primary: the gateway must log in')
    expect(message).toContain('set clients.shop.writes.probeParams (user, password)')
  })

  test('needs a user to log in as', () => {
    const nobody = { password: 'secret' }
    const { message } = checked({ role: 'primary', probeParams: nobody, startupParams: LOGIN })
    expect(message).toContain('clients.shop.writes.probeParams: it names no user')
    expect(message).not.toContain('secret')
  })

  test('is nothing that raw bytes could be asked for', () => {
    const { message } = checked({ role: 'standby', probeParams: LOGIN }, { protocol: 'raw' })
    expect(message).toContain('standby is for PostgreSQL, and servers.shop.protocol is raw')
  })
})

test('a login for a role that does not matter is told to be without effect', () => {
  for (const more of [{}, { role: 'any' }]) {
    expect(checked({ ...more, probeParams: LOGIN }).notices).toEqual([
      'clients.shop.writes.probeParams: without effect, as clients.shop.writes.role is any',
    ])
  }
  expect(checked({}).notices).toEqual([])
})
