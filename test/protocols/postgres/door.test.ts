/** How the gateway lets a client in by itself, and in which state the client leaves the server. */
import { describe, expect, test } from 'bun:test'
import { authenticationMd5 } from '../../../src/protocols/postgres/login/answers.ts'
import type { Doorkeeper, Gate, LoginStep } from '../../../src/protocols/protocol.ts'
import {
  concat,
  message,
  parse,
  passwordMessage,
  query,
  startup,
  terminate,
} from '../../kit/frontend.ts'
import { Stage, type StageOptions, server as says } from './stage.ts'

const ANN = startup({ user: 'ann', database: 'shop' })
const KEY = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8)
const ASK = authenticationMd5(Uint8Array.of(1, 2, 3, 4))
const IN: LoginStep = { kind: 'admitted', bytes: new Uint8Array(0) }
const REFUSED = { code: '28P01', message: 'no' }

const TOLD: ReadonlyMap<string, string> = new Map([['TimeZone', 'UTC']])

/** Asks once, and lets in who answers. */
const asking = (): Doorkeeper => ({ begin: () => ({ kind: 'say', bytes: ASK }), take: () => IN })
const trusting = (): Doorkeeper => ({ begin: () => IN, take: () => IN })

const SHOP = { database: 'shop', shares: false }

function stageWith(doorkeeper: Gate['doorkeeper'], options: StageOptions = {}) {
  const reasons: string[] = []
  const turnedAway = (reason: string): void => void reasons.push(reason)
  const stage = new Stage({ ...options, gate: { doorkeeper, ...SHOP, turnedAway } })
  return { stage, reasons }
}

/** A stage with a client that is in, on a connection that is only lent. */
function entered(options: StageOptions = {}): Stage {
  const { stage } = stageWith(trusting, options)
  stage.client(ANN)
  stage.conversation.admit(TOLD, KEY)
  stage.clientRead()
  return stage
}

describe('a client', () => {
  test('that is trusted is in as soon as there is a server', () => {
    const { stage } = stageWith(trusting)
    stage.client(ANN)
    expect(stage.events).toEqual(['admitted'])
    expect(stage.clientRead()).toEqual([])
    expect(stage.conversation.loggedIn).toBeFalse()
    stage.conversation.admit(TOLD, KEY)
    expect(stage.clientReadShort()).toEqual([
      'Authentication',
      'ParameterStatus',
      'BackendKeyData',
      'ReadyForQuery I',
    ])
    expect(stage.conversation.cancelKey).toBe('0102030405060708')
    expect(stage.conversation.idle).toBeTrue()
    expect(stage.serverRead()).toHaveLength(0)
    stage.client(query('select 1'))
    expect(stage.serverReadTypes()).toBe('Q')
  })

  test('is told where its server is other than it was told', () => {
    const stage = entered()
    const actual = new Map([
      ['TimeZone', 'Asia/Tokyo'],
      ['DateStyle', 'ISO, MDY'],
    ])
    stage.conversation.correct(new Map([...TOLD, ['DateStyle', 'ISO, MDY']]), actual)
    expect(stage.clientRead()).toEqual([
      expect.objectContaining({ parameter: 'TimeZone', value: 'Asia/Tokyo' }),
    ])
  })

  test('is asked, byte by byte, and nothing of that reaches the server', () => {
    const { stage } = stageWith(asking)
    for (const byte of ANN) stage.client(Uint8Array.of(byte))
    expect(stage.clientReadShort()).toEqual(['Authentication'])
    for (const byte of passwordMessage('secret')) stage.client(Uint8Array.of(byte))
    expect(stage.events).toEqual(['admitted'])
    expect(stage.serverRead()).toHaveLength(0)
  })

  test('is told no, and why is told to the log', () => {
    const { stage, reasons } = stageWith(() => ({
      begin: () => ({ kind: 'refused', refused: REFUSED, reason: 'it is Monday' }),
      take: () => IN,
    }))
    stage.client(ANN)
    expect(stage.clientReadShort()).toEqual(['ErrorResponse 28P01'])
    expect(stage.conversation.refusalTold).toBeTrue()
    expect([stage.events, reasons]).toEqual([[], ['it is Monday']])
  })

  test.each([
    ['another database', startup({ user: 'ann', database: 'other' }), '3D000'],
    ['its own database', startup({ user: 'ann' }), '3D000'],
  ])('that asks for %s is refused', (_, packet, code) => {
    const { stage } = stageWith(trusting)
    stage.client(packet)
    expect(stage.clientReadShort()).toEqual([`ErrorResponse ${code}`])
  })

  test('that speaks a newer protocol is told which one is spoken here', () => {
    const { stage } = stageWith(trusting)
    stage.client(startup({ user: 'ann', database: 'shop', protocol: (3 << 16) | 9 }))
    expect(stage.clientReadShort()).toEqual(['NegotiateProtocolVersion'])
  })

  test('that nobody asks is refused, whatever it says', () => {
    const { stage } = stageWith(null)
    stage.client(ANN)
    expect(stage.clientReadShort()).toEqual(['ErrorResponse 28000'])
    expect(stage.events).toEqual([])
  })

  test('cannot make the gateway hold more than a login needs', () => {
    const { stage, reasons } = stageWith(asking)
    stage.client(ANN, message('p', new Uint8Array(65_536)))
    expect(stage.clientReadShort()).toEqual(['Authentication', 'ErrorResponse 08P01'])
    expect(reasons).toHaveLength(1)
    expect(stage.budget.held).toBe(0)
  })

  test('that cannot wait is heard when it is in', () => {
    const { stage } = stageWith(asking)
    stage.client(ANN, passwordMessage('secret'))
    expect(stage.events).toEqual(['admitted'])
    stage.conversation.admit(TOLD, KEY)
    stage.client(query('select 1'))
    expect(stage.serverReadTypes()).toBe('Q')
  })
})

describe('a plugin that answers the login', () => {
  const answers = [ASK, concat(says.authentication(0), says.parameter('a', 'b'), says.ready())]

  test('asks in its own words, and the gateway tells of the server that it has', () => {
    const left = [...answers]
    const { stage } = stageWith(null, { fromClient: () => ({ respond: left.shift()! }) })
    stage.client(ANN)
    expect(stage.clientReadShort()).toEqual(['Authentication'])
    stage.client(passwordMessage('secret'))
    expect(stage.clientReadShort()).toEqual([])
    expect(stage.events).toEqual(['admitted'])
    stage.conversation.admit(TOLD, KEY)
    expect(stage.clientReadShort()).toEqual([
      'Authentication',
      'ParameterStatus',
      'BackendKeyData',
      'ReadyForQuery I',
    ])
  })

  test('has the first word before the doorkeeper', () => {
    const { stage } = stageWith(asking, { fromClient: () => ({ respond: answers[1]! }) })
    stage.client(ANN)
    expect(stage.events).toEqual(['admitted'])
  })

  test('that lets a login pass leaves it to the doorkeeper', () => {
    const { stage } = stageWith(asking, { fromClient: () => 'forward' })
    stage.client(ANN)
    stage.client(passwordMessage('secret'))
    expect(stage.clientReadShort()).toEqual(['Authentication'])
    expect(stage.events).toEqual(['admitted'])
    expect(stage.units.client).toHaveLength(2)
  })
})

describe('a farewell', () => {
  test.each([
    ['that nobody looks at', {}],
    ['that plugins see', { fromClient: () => 'forward' } as StageOptions],
  ])('%s ends the session, not the server connection', (_, options) => {
    const stage = entered(options)
    expect(stage.conversation.departed).toBeFalse()
    stage.client(query('select 1'), terminate())
    expect(stage.serverReadTypes()).toBe('Q')
    expect(stage.conversation).toMatchObject({ departed: true, owes: true, leaves: null })
    stage.server(says.complete('SELECT 1'), says.ready())
    expect(stage.conversation).toMatchObject({ departed: true, owes: false, leaves: 'idle' })
  })
})

describe('the server connection is left', () => {
  const sync = message('S')

  test('idle, or in a transaction', () => {
    const stage = entered()
    expect(stage.conversation.leaves).toBe('idle')
    stage.client(query('begin'))
    stage.server(says.complete('BEGIN'), says.ready('T'))
    expect(stage.conversation.leaves).toBe('transaction')
    stage.client(query('nonsense'))
    stage.server(says.error('42601', 'syntax error'), says.ready('E'))
    expect(stage.conversation.leaves).toBe('transaction')
  })

  test.each([
    ['a reply is owed', query('select 1'), new Uint8Array(0)],
    ['a reply has come in part', query('select 1'), says.columns()],
    ['a message was sent in part', query('select 1').subarray(0, 8), new Uint8Array(0)],
    ['a pipeline has no end', parse({ sql: 'select 1' }), says.parsed()],
    ['a pipeline has failed', parse({ sql: 'select 1' }), says.error('42601', 'no')],
    ['a copy goes in', query('copy t from stdin'), says.copyIn()],
    ['a message of the server has come in part', query('select 1'), says.ready().subarray(0, 3)],
    ['a Sync is owed', concat(parse({ sql: 'select 1' }), sync), says.parsed()],
  ])('for nobody else where %s', (_, fromClient, fromServer) => {
    const stage = entered()
    stage.client(fromClient)
    stage.server(fromServer)
    expect(stage.conversation.leaves).toBeNull()
  })

  test('for nobody else where an unasked message has come in part', () => {
    const stage = entered()
    stage.server(says.notice('careful').subarray(0, 7))
    expect(stage.conversation.leaves).toBeNull()
  })

  test('for nobody before the client is in', () => {
    const { stage } = stageWith(trusting)
    stage.client(ANN)
    expect(stage.conversation.leaves).toBeNull()
  })
})

describe('a statement that a client has named', () => {
  const named = parse({ name: 'mine', sql: 'select' })
  const unnamed = parse({ sql: 'select' })

  test('is known of, however it comes and whoever looks', () => {
    for (const options of [{}, { fromClient: () => 'forward' }] satisfies StageOptions[]) {
      for (const cut of [unnamed.length + named.length, 1]) {
        const stage = entered(options)
        const say = (bytes: Uint8Array): void => {
          for (let at = 0; at < bytes.length; at += cut) stage.client(bytes.subarray(at, at + cut))
        }
        say(unnamed)
        expect(stage.conversation.prepares).toBeFalse()
        say(concat(unnamed, named))
        expect(stage.conversation.prepares).toBeTrue()
      }
    }
  })

  test('is none where a step has refused it', () => {
    const stage = entered({ fromClient: () => ({ deny: REFUSED }) })
    stage.client(named)
    expect(stage.conversation.prepares).toBeFalse()
  })
})
