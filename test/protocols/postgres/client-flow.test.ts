/** The opening of a session, and how messages of a client are cut, checked and noted. */
import { describe, expect, test } from 'bun:test'
import {
  bind,
  cancelRequest,
  concat,
  cstring,
  execute,
  extendedQuery,
  gssRequest,
  PROTOCOL_3_0,
  parse,
  passwordMessage,
  query,
  sslRequest,
  startup,
  sync,
  terminate,
  untyped,
} from '../../kit/frontend.ts'
import { DENIAL, Stage, server } from './stage.ts'

const ANN = startup({ user: 'ann', database: 'shop', params: { application_name: 'till' } })

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('latin1')
}

describe('the opening', () => {
  test('passes a StartupMessage as it came, and knows who it is', () => {
    const stage = new Stage()
    stage.client(ANN)
    expect(stage.serverRead()).toEqual(ANN)
    expect(stage.conversation).toMatchObject({
      user: 'ann',
      database: 'shop',
      applicationName: 'till',
      loggedIn: false,
      owes: true,
    })
  })

  test('is understood though it comes byte by byte, with what follows', () => {
    const stage = new Stage()
    const all = concat(ANN, passwordMessage('secret'))
    for (const byte of all) stage.client(new Uint8Array([byte]))
    expect(stage.serverRead()).toEqual(all)
  })

  test('answers a request for encryption with N, and the server hears nothing of it', () => {
    const stage = new Stage()
    stage.client(sslRequest())
    expect(text(stage.clientReadRaw())).toBe('N')
    stage.client(gssRequest())
    expect(text(stage.clientReadRaw())).toBe('N')
    expect(stage.serverRead()).toHaveLength(0)
    stage.client(ANN)
    expect(stage.serverRead()).toEqual(ANN)
  })

  test('shows the SSLRequest as an edge, and the GSSENCRequest not at all', () => {
    const stage = new Stage()
    stage.client(gssRequest())
    expect(stage.events).toEqual([])
    stage.client(sslRequest())
    expect(stage.events).toEqual(['edge'])
  })

  test('is a cancel request without a login', () => {
    const stage = new Stage({ fromClient: () => ({ deny: DENIAL }) })
    stage.client(cancelRequest(7, new Uint8Array([0, 0, 0, 9])))
    expect(stage.events).toEqual(['cancel'])
    expect(stage.units.client).toEqual([])
  })

  const violations = [
    ['bytes behind a request for encryption', concat(sslRequest(), ANN), 'data follow a request'],
    ['a startup packet over 10,000 bytes', untyped(PROTOCOL_3_0, new Uint8Array(9_993)), '10001'],
    ['a TLS handshake', new Uint8Array([0x16, 3, 1, 0, 200, 1]), '(is it TLS?)'],
    [
      'an HTTP request',
      new TextEncoder().encode('GET / HTTP/1.1\r\n'),
      'declares 1195725856 bytes',
    ],
    ['protocol version 2', untyped(2 << 16), 'protocol version 2.0'],
    ['parameters without an end', untyped(PROTOCOL_3_0, cstring('user')), 'malformed'],
  ] as const
  for (const [what, bytes, why] of violations) {
    test(`refuses ${what}`, () => {
      const stage = new Stage()
      stage.client(bytes)
      expect(stage.events.at(-1)).toBe('violation')
      expect(stage.conversation.fromClient.violation).toContain(why)
      expect(stage.serverRead()).toHaveLength(0)
    })
  }

  test('refuses to be asked for encryption again and again', () => {
    const stage = new Stage()
    for (const request of [sslRequest(), gssRequest(), sslRequest()]) stage.client(request)
    expect(stage.events.at(-1)).toBe('violation')
  })

  test('of a refused client is heard out: encryption, startup, then FATAL', () => {
    const stage = new Stage({ fromClient: () => 'forward' })
    stage.conversation.refuse(DENIAL)
    stage.client(sslRequest())
    expect(text(stage.clientReadRaw())).toBe('N')
    expect(stage.conversation.refusalTold).toBe(false)
    stage.client(ANN)
    expect(stage.conversation.refusalTold).toBe(true)
    const [told] = stage.clientRead()
    expect(told).toMatchObject({ name: 'ErrorResponse', severity: 'FATAL', code: '42501' })
    expect(stage.serverRead()).toHaveLength(0)
    expect(stage.units.client).toEqual([])
  })

  test('is a unit for a step that wants it; until it has passed, the session can be routed', () => {
    let routable = false
    const stage = new Stage({
      fromClient: () => {
        routable = stage.conversation.routable
        return 'forward'
      },
    })
    expect(stage.conversation.routable).toBe(true)
    stage.client(ANN)
    expect(routable).toBe(true)
    expect(stage.conversation.routable).toBe(false)
    expect(stage.units.client).toEqual([ANN])
    expect(stage.serverRead()).toEqual(ANN)
  })

  test('may be replaced by another startup packet, whole and of a known protocol', () => {
    const bob = startup({ user: 'bob' })
    const flaws: (string | null)[] = []
    const stage = new Stage({
      fromClient: () => {
        const { fromClient } = stage.conversation
        const others = [bob, ANN.slice(0, 7), concat(bob, bob), untyped(2 << 16), query('x')]
        flaws.push(...others.map((bytes) => fromClient.flaw(bytes)))
        return { replace: bob }
      },
    })
    stage.client(ANN)
    expect(stage.serverRead()).toEqual(bob)
    expect(flaws[0]).toBeNull()
    expect(flaws.slice(1).every((flaw) => flaw !== null)).toBe(true)
    expect(flaws[2]).toBe(`it declares ${bob.length} bytes and has ${2 * bob.length}`)
  })

  test('has no words for a refusal: startup and password are refused by closing', () => {
    const stage = new Stage({ fromClient: () => ({ deny: DENIAL }) })
    stage.client(ANN)
    stage.client(passwordMessage('x'))
    expect(stage.events).toEqual(['no words', 'no words'])
    expect(stage.serverRead()).toHaveLength(0)
  })

  test('may be answered by a plugin that logs clients in itself', () => {
    const answers = [server.authentication(3), concat(server.authentication(0), server.ready())]
    const stage = new Stage({ fromClient: () => ({ respond: answers.shift()! }) })
    stage.client(ANN)
    expect(stage.clientReadShort()).toEqual(['Authentication'])
    stage.client(passwordMessage('x'))
    expect(stage.clientReadShort()).toEqual(['Authentication', 'ReadyForQuery I'])
    expect(stage.serverRead()).toHaveLength(0)
  })
})

describe('units', () => {
  const sent = concat(
    extendedQuery('select 1'),
    query('select 2'),
    parse({ sql: 'select 3' }),
    bind(),
    parse({ sql: 'select 4' }),
    execute(),
    sync(),
  )

  function unitsOf(clientCut: 'message' | 'batch', pieces: readonly Uint8Array[]): string[] {
    const stage = Stage.loggedIn({ fromClient: () => 'forward', clientCut })
    for (const piece of pieces) stage.client(piece)
    expect(stage.serverRead()).toEqual(concat(...pieces))
    return stage.units.client.map(typesOf)
  }

  test('are single messages, however they were cut', () => {
    const whole = unitsOf('message', [sent])
    expect(whole.join(' ')).toBe('P B D E S Q P B P E S')
    expect(unitsOf('message', [sent.slice(0, 33), sent.slice(33, 35), sent.slice(35)])).toEqual(
      whole,
    )
  })

  test('are batches in which the first message is the only statement', () => {
    expect(unitsOf('batch', [sent])).toEqual(['PBDES', 'Q', 'PB', 'PES'])
  })

  test('are batches of the whole messages of one read: the cut one waits for its rest', () => {
    const all = extendedQuery('select 1')
    const within = all.length - 7
    const units = unitsOf('batch', [all.slice(0, within), all.slice(within)])
    expect(units).toEqual(['PBD', 'ES'])
  })

  test('are the same when looked at for one step', () => {
    const { fromClient } = Stage.loggedIn().conversation
    const parts = fromClient.parts(sent, 'batch', null)
    expect(parts.map(({ bytes }) => typesOf(bytes))).toEqual(['PBDES', 'Q', 'PB', 'PES'])
    expect(fromClient.flaw(sent)).toBeNull()
    expect(fromClient.flaw(sent.slice(1))).not.toBeNull()
  })
})

test('bytes that are no message are a violation at any header', () => {
  for (const fromClient of [undefined, () => 'forward' as const]) {
    const stage = Stage.loggedIn(fromClient === undefined ? {} : { fromClient })
    stage.client(query('select 1'), new TextEncoder().encode('rubbish'))
    expect(stage.events).toEqual(['violation'])
    expect(stage.serverReadTypes()).toBe('Q')
  }
})

test('a client that says Terminate wants no farewell, though a step refused even that', () => {
  for (const decision of ['forward', { deny: DENIAL }] as const) {
    const stage = Stage.loggedIn({ fromClient: () => decision })
    expect(stage.conversation.farewell(DENIAL)).not.toBeNull()
    stage.client(terminate())
    expect(stage.serverReadTypes()).toBe('X')
    expect(stage.conversation.farewell(DENIAL)).toBeNull()
  }
})

function typesOf(bytes: Uint8Array): string {
  let types = ''
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  for (let at = 0; at < bytes.length; at += 1 + view.getInt32(at + 1)) {
    types += String.fromCharCode(bytes[at]!)
  }
  return types
}
