/** From results to verdicts: GatewayD's documented rules, row by row. */
import { describe, expect, test } from 'bun:test'
import { BUILT_IN_POLICIES, type Policies } from '../../../src/config/policies.ts'
import type { Struct } from '../../../src/plugins/grpc/struct.ts'
import {
  fromClientVerdict,
  fromServerVerdict,
  observerComplaint,
  openingVerdict,
  settingsVerdict,
} from '../../../src/plugins/grpc/verdict.ts'
import { messageOf, query } from '../../fixtures/grpc/surroundings.ts'

const REQUEST = query('select 1')
const OTHER = query('select 2')
const REPLY = Buffer.concat([messageOf('C', 'SELECT 1\0'), messageOf('Z', 'I')])
const ERROR = messageOf('E', 'SERROR\0C28000\0Mno\0\0')
const X = Uint8Array.of(0x58, 0, 0, 0, 4)

const TERMINATE = { name: 'terminate', metadata: { terminate: true } }
const ROUTE = { name: 'route', metadata: { block: 'replica' } }
const DENIED = {
  kind: 'deny',
  code: '42000',
  message: 'Request terminated',
  detail: 'Policy terminated the request',
}

type Row = readonly [promise: string, result: Struct, verdict: object]

const FROM_CLIENT: readonly Row[] = [
  ['an echo continues', { request: REQUEST, error: '' }, { kind: 'continue' }],
  ['an empty result continues', {}, { kind: 'continue' }],
  ['equal bytes elsewhere continue', { request: REQUEST.slice() }, { kind: 'continue' }],
  ['changed bytes replace', { request: OTHER }, { kind: 'replace', bytes: OTHER }],
  [
    'bytes taken away are replaced by none',
    { request: new Uint8Array(0) },
    { kind: 'replace', bytes: new Uint8Array(0) },
  ],
  ['a request as text is ignored', { request: 'select 2' }, { kind: 'continue' }],
  ['a response without a signal is ignored', { response: REPLY }, { kind: 'continue' }],
  [
    'terminate with a response responds',
    { __signals__: [TERMINATE], response: REPLY, request: OTHER },
    { kind: 'respond', bytes: REPLY },
  ],
  [
    'terminate with an empty response responds with nothing',
    { __signals__: [TERMINATE], response: new Uint8Array(0) },
    { kind: 'respond', bytes: new Uint8Array(0) },
  ],
  ['terminate without a response denies', { __signals__: [TERMINATE], request: OTHER }, DENIED],
  ['a response as text is none', { __signals__: [TERMINATE], response: 'E' }, DENIED],
  [
    'terminate beats route, wherever it stands',
    { __signals__: [ROUTE, TERMINATE], response: REPLY },
    { kind: 'respond', bytes: REPLY },
  ],
  [
    'a terminate whose policy does not hold is none',
    { __signals__: [{ name: 'terminate', metadata: { terminate: 'true' } }] },
    { kind: 'continue' },
  ],
  [
    'a terminate without metadata is none',
    { __signals__: [{ name: 'terminate', metadata: null }] },
    { kind: 'continue' },
  ],
  ['the SDK key terminate is no signal', { terminate: 'e30=' }, { kind: 'continue' }],
  [
    '__terminal__ with a response responds',
    { __terminal__: true, response: REPLY },
    { kind: 'respond', bytes: REPLY },
  ],
  ['__terminal__ alone closes', { __terminal__: true }, { kind: 'close' }],
  ['__terminal__ of another type is none', { __terminal__: 'true' }, { kind: 'continue' }],
  ['terminate beats __terminal__', { __terminal__: true, __signals__: [TERMINATE] }, DENIED],
  ['route routes', { __signals__: [ROUTE], request: OTHER }, { kind: 'route', block: 'replica' }],
  [
    'a route to nowhere is none',
    { __signals__: [{ name: 'route', metadata: { block: '' } }] },
    { kind: 'continue' },
  ],
  [
    'an error is a failure, whatever else there is',
    { error: 'unwell', __signals__: [TERMINATE], response: REPLY },
    { kind: 'failure', cause: 'it reports: unwell' },
  ],
  ['an error of another type is none', { error: 5 }, { kind: 'continue' }],
  ['unknown signals are none', { __signals__: [{ name: 'passthrough' }] }, { kind: 'continue' }],
  ['signals of the wrong shape are none', { __signals__: 'terminate' }, { kind: 'continue' }],
  [
    'a frontend Terminate behind a refusal closes after it',
    { __signals__: [TERMINATE], response: Buffer.concat([ERROR, X]) },
    { kind: 'close', bytes: Buffer.from(ERROR) },
  ],
  [
    'a frontend Terminate alone closes',
    { __signals__: [TERMINATE], response: X },
    { kind: 'close' },
  ],
]

describe('onTrafficFromClient', () => {
  for (const [promise, result, verdict] of FROM_CLIENT) {
    test(promise, () => expect(fromClientVerdict(result, REQUEST)).toEqual(verdict as never))
  }

  test('bytes like a Terminate inside the last message are that message', () => {
    const ends = messageOf('D', `\0\x01\0\0\0\x05X\0\0\0\x04`)
    const verdict = fromClientVerdict({ __signals__: [TERMINATE], response: ends }, REQUEST)
    expect(verdict).toEqual({ kind: 'respond', bytes: ends })
  })

  test('bytes like a Terminate behind something that is no message stay', () => {
    const odd = Buffer.concat([Uint8Array.of(0, 0, 0, 0, 1, 9), X])
    const verdict = fromClientVerdict({ __signals__: [TERMINATE], response: odd }, REQUEST)
    expect(verdict.kind).toBe('respond')
  })

  test('a plugin that complains at length is quoted in short', () => {
    const verdict = fromClientVerdict({ error: 'x'.repeat(10_000) }, REQUEST)
    expect(verdict.kind === 'failure' && verdict.cause.length).toBeLessThan(600)
  })
})

const FROM_SERVER: readonly Row[] = [
  ['an echo continues', { response: REPLY }, { kind: 'continue' }],
  ['no response continues', {}, { kind: 'continue' }],
  ['a changed response replaces', { response: ERROR }, { kind: 'replace', bytes: ERROR }],
  ['a changed request is ignored', { request: OTHER, response: REPLY }, { kind: 'continue' }],
  [
    'a changed response with terminate replaces',
    { response: ERROR, __signals__: [TERMINATE] },
    { kind: 'replace', bytes: ERROR },
  ],
  [
    'terminate with the response unchanged continues',
    { response: REPLY, __signals__: [TERMINATE] },
    { kind: 'continue' },
  ],
  ['terminate without a response denies', { __signals__: [TERMINATE] }, DENIED],
  ['__terminal__ without a response closes', { __terminal__: true }, { kind: 'close' }],
  [
    'an error is a failure',
    { error: 'no', response: ERROR },
    { kind: 'failure', cause: 'it reports: no' },
  ],
  [
    'a frontend Terminate at the end of a changed response closes after it',
    { response: Buffer.concat([ERROR, X]) },
    { kind: 'close', bytes: Buffer.from(ERROR) },
  ],
]

describe('onTrafficFromServer', () => {
  for (const [promise, result, verdict] of FROM_SERVER) {
    test(promise, () => expect(fromServerVerdict(result, REPLY)).toEqual(verdict as never))
  }

  test('a reply of the server that ends like a Terminate is left as it is', () => {
    const reply = Buffer.concat([REPLY, X])
    expect(fromServerVerdict({ response: reply.subarray() }, reply)).toEqual({ kind: 'continue' })
  })
})

const OPENING: readonly Row[] = [
  ['an echo continues', { client: {} }, { kind: 'continue' }],
  ['terminate closes', { __signals__: [TERMINATE] }, { kind: 'close' }],
  [
    'terminate with a response closes with these last words',
    { __signals__: [TERMINATE], response: ERROR },
    { kind: 'close', bytes: ERROR },
  ],
  [
    'a frontend Terminate is no part of last words',
    { __signals__: [TERMINATE], response: Buffer.concat([ERROR, X]) },
    { kind: 'close', bytes: Buffer.from(ERROR) },
  ],
  ['__terminal__ closes', { __terminal__: true }, { kind: 'close' }],
  ['route routes', { __signals__: [ROUTE] }, { kind: 'route', block: 'replica' }],
  ['an error is a failure', { error: 'no' }, { kind: 'failure', cause: 'it reports: no' }],
]

describe('onOpening', () => {
  for (const [promise, result, verdict] of OPENING) {
    test(promise, () => expect(openingVerdict(result)).toEqual(verdict as never))
  }
})

describe('onConfigLoaded and onRun', () => {
  const params = { 'loggers.default.level': 'info', 'pools.default.size': 10, list: ['a'] }

  test('an echo changes nothing', () => {
    expect(settingsVerdict({ ...params, list: ['a'] }, params)).toEqual({ kind: 'continue' })
  })

  test('changed and added keys are merged, taken away ones are not', () => {
    const result = { 'loggers.default.level': 'debug', list: ['a', 'b'], added: true }
    expect(settingsVerdict(result, params)).toEqual({
      kind: 'merge',
      changes: { 'loggers.default.level': 'debug', list: ['a', 'b'], added: true },
    })
  })

  test('signals and errors are no settings', () => {
    const result = { ...params, __signals__: [ROUTE], __terminal__: 'true', error: '' }
    expect(settingsVerdict(result, params)).toEqual({ kind: 'continue' })
  })

  test('terminate lets nobody be asked behind, and what was changed counts', () => {
    const last = { kind: 'merge', changes: { added: true }, isLast: true } as const
    const result = { ...params, added: true }
    expect(settingsVerdict({ ...result, __signals__: [TERMINATE] }, params)).toEqual(last)
    expect(settingsVerdict({ ...result, __terminal__: true }, params)).toEqual(last)
    expect(settingsVerdict({ ...params, __terminal__: true }, params)).toEqual({
      ...last,
      changes: {},
    })
  })

  test('an error is a failure, unless it was ours', () => {
    expect(settingsVerdict({ error: 'no' }, params).kind).toBe('failure')
    expect(settingsVerdict({ error: 'no' }, { error: 'no' }).kind).toBe('continue')
  })
})

describe('observers', () => {
  test('an echo is content, also with the error it was given', () => {
    expect(observerComplaint({ error: 'reset' }, { error: 'reset' })).toBeNull()
    expect(observerComplaint({ request: OTHER }, {})).toBeNull()
  })

  test('a verdict or a complaint is a failure', () => {
    expect(observerComplaint({ __signals__: [TERMINATE] }, {})).toContain('verdict')
    expect(observerComplaint({ __signals__: [ROUTE] }, {})).toContain('verdict')
    expect(observerComplaint({ __terminal__: true }, {})).toContain('verdict')
    expect(observerComplaint({ error: 'no' }, { error: '' })).toBe('it reports: no')
  })
})

describe('by the policies of the operator', () => {
  const off: Policies = { ...BUILT_IN_POLICIES, terminate: 'never' }
  const ending: Policies = { ...BUILT_IN_POLICIES, standard: 'terminate' }
  const ended = { __signals__: [TERMINATE], response: REPLY }

  test('a terminate that is switched off passes, and so does its response', () => {
    expect(fromClientVerdict(ended, REQUEST, off)).toEqual({ kind: 'continue' })
    expect(fromServerVerdict({ __signals__: [TERMINATE] }, REPLY, off).kind).toBe('continue')
    expect(openingVerdict(ended, off)).toEqual({ kind: 'continue' })
    expect(observerComplaint(ended, {}, off)).toBeNull()
    expect(settingsVerdict({ __signals__: [TERMINATE] }, {}, off)).toEqual({ kind: 'continue' })
  })

  test('__terminal__ is no signal, and stays where terminate is switched off', () => {
    const terminal = { ...ended, __terminal__: true }
    expect(fromClientVerdict(terminal, REQUEST, off)).toEqual({ kind: 'respond', bytes: REPLY })
  })

  test('what says nothing is terminated where that is the standard', () => {
    expect(fromClientVerdict({ request: OTHER }, REQUEST, ending)).toEqual(DENIED as never)
    expect(fromServerVerdict({}, REPLY, ending)).toEqual(DENIED as never)
    expect(openingVerdict({}, ending)).toEqual({ kind: 'close' })
    expect(settingsVerdict({}, {}, ending)).toEqual({ kind: 'merge', changes: {}, isLast: true })
    // A reply that is there stands, as GatewayD has it.
    expect(fromServerVerdict({ response: REPLY }, REPLY, ending)).toEqual({ kind: 'continue' })
    // An observer decides nothing, whatever it does not say.
    expect(observerComplaint({}, {}, ending)).toBeNull()
  })

  test('what says passthrough goes on where termination is the standard', () => {
    const result = { request: OTHER, __signals__: [{ name: 'passthrough', metadata: null }] }
    const replaced = { kind: 'replace', bytes: OTHER } as const
    expect(fromClientVerdict(result, REQUEST, ending)).toEqual(replaced)
  })
})
