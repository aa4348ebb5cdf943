/** What guests are told of a session is never older than the session. */
import { describe, expect, test } from 'bun:test'
import { connectionText } from '../../../src/plugins/wasm/connection-text.ts'
import { makeSession } from '../../fixtures/wasm/kit.ts'

const told = (session: Parameters<typeof connectionText>[0]) =>
  JSON.parse(new TextDecoder().decode(connectionText(session)))

describe('the JSON of a session', () => {
  test('is made once as long as nothing changes', () => {
    const session = makeSession()
    expect(connectionText(session)).toBe(connectionText(session))
  })

  test('is another session’s own, though all that it says is the same', () => {
    expect(connectionText(makeSession())).not.toBe(connectionText(makeSession()))
  })

  test('tells what has changed', () => {
    const session = { ...makeSession() }
    told(session)
    const tls = { version: 'TLSv1.3', cipher: 'AES', subject: 'ann' }
    const changes = {
      server: { local: '127.0.0.1:9', remote: '127.0.0.1:5432' },
      block: 'reads',
      tls,
      user: 'ann',
      database: 'shop',
      applicationName: 'psql',
    }
    for (const [name, value] of Object.entries(changes)) {
      Object.assign(session, { [name]: value })
      expect(told(session)).toMatchObject({ [name]: value })
    }
  })
})
