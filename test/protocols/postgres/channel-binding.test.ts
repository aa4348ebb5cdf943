/** SCRAM where TLS ends at the gateway: what a client is offered, and what it is told. */
import { describe, expect, test } from 'bun:test'
import type { EncryptionTerms } from '../../../src/protocols/protocol.ts'
import { concat, cstring, int32, message, saslInitial, startup } from '../../kit/frontend.ts'
import { saslMechanisms } from '../../kit/login.ts'
import { Stage, type StageOptions, server } from './stage.ts'

const TERMS: EncryptionTerms = { clients: 'offered', servers: true, unencrypted() {} }
const PLUS = 'SCRAM-SHA-256-PLUS'
const PLAIN = 'SCRAM-SHA-256'

function offer(...mechanisms: readonly string[]): Uint8Array {
  return message('R', int32(10), ...mechanisms.map(cstring), new Uint8Array(1))
}

/** A stage on which the client has introduced itself, with TLS or without. */
function introduced({ secured = false, ...options }: StageOptions & { secured?: boolean } = {}) {
  const stage = new Stage({ encryption: TERMS, ...options })
  if (secured) stage.conversation.secured({ refused: null, certificate: { pem: '' } })
  stage.client(startup({ user: 'ann', database: 'shop' }))
  return stage
}

function offered(stage: Stage): readonly string[] {
  const [read] = stage.clientRead()
  return read?.name === 'Authentication' ? saslMechanisms(read.payload) : []
}

describe('a client without TLS', () => {
  test('is not offered what binds to TLS', () => {
    const stage = introduced()
    stage.server(offer(PLUS, PLAIN))
    expect(offered(stage)).toEqual([PLAIN])
  })

  test('is offered it where there is nothing else, to say so itself', () => {
    const stage = introduced()
    stage.server(offer(PLUS))
    expect(offered(stage)).toEqual([PLUS])
  })

  test('gets every other message of a login as it came, however it is cut', () => {
    const login = [server.authentication(0), server.parameter('a', 'b'), server.ready()]
    const whole = concat(message('v', int32(0), int32(0)), ...login)
    for (const cut of ['message', 'reply'] as const) {
      const stage = introduced({ fromServer: () => 'forward', serverCut: cut })
      for (const byte of whole) stage.server(Uint8Array.of(byte))
      expect(stage.clientReadRaw()).toEqual(whole)
    }
  })

  test('is not offered it byte by byte either, nor behind another message', () => {
    const stage = introduced({ fromServer: () => 'forward', serverCut: 'reply' })
    const first = message('v', int32(0), int32(0))
    for (const byte of concat(first, offer(PLUS, PLAIN))) stage.server(Uint8Array.of(byte))
    expect(stage.clientReadRaw()).toEqual(concat(first, offer(PLAIN)))
  })
})

describe('a client with TLS', () => {
  const refused = server.error('28000', 'SCRAM channel binding check failed')

  function bound(mechanism: string): Stage {
    const stage = introduced({ secured: true })
    stage.server(offer(PLUS, PLAIN))
    expect(offered(stage)).toEqual([PLUS, PLAIN])
    for (const byte of saslInitial(mechanism, 'p=tls-server-end-point,,n=,r=abc')) {
      stage.client(Uint8Array.of(byte))
    }
    return stage
  }

  test('that has bound itself in vain is told the ways out', () => {
    const stage = bound(PLUS)
    stage.server(refused)
    const [told] = stage.clientRead()
    expect(told).toMatchObject({
      name: 'ErrorResponse',
      code: '28000',
      message: 'SCRAM channel binding check failed',
      detail: expect.stringContaining('TLS ends at the gateway'),
      hint: expect.stringMatching(
        /channel_binding=disable.*one of the two sides.*certFile.*servers\.<group>\.auth/,
      ),
    })
  })

  test('is not told them where they do not help', () => {
    const others = [
      { mechanism: PLAIN, error: refused },
      { mechanism: PLUS, error: server.error('28P01', 'wrong password') },
    ]
    for (const { mechanism, error } of others) {
      const stage = bound(mechanism)
      stage.server(error)
      expect(stage.clientReadRaw()).toEqual(error)
    }
    const stage = bound(PLUS)
    const late = concat(server.authentication(12), server.authentication(0), refused)
    stage.server(late)
    expect(stage.clientReadRaw()).toEqual(late)
  })
})

test('nothing is changed where no server is spoken to by TLS', () => {
  const stage = introduced({ encryption: { ...TERMS, servers: false } })
  stage.server(offer(PLUS, PLAIN))
  expect(offered(stage)).toEqual([PLUS, PLAIN])
})
