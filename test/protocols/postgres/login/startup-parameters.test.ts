import { describe, expect, test } from 'bun:test'
import {
  negotiation,
  readStartup,
  type StartupParameters,
} from '../../../../src/protocols/postgres/login/startup-parameters.ts'
import { cstring, PROTOCOL_3_0, startup, untyped } from '../../../kit/frontend.ts'

const read = (packet: Uint8Array): StartupParameters => {
  const step = readStartup(packet)
  if (step.kind === 'malformed') throw new Error(step.sentence)
  return step
}

describe('a startup packet', () => {
  test('is read in order, with the options of the protocol', () => {
    const params = { options: '-c a=b', '_pq_.x': '1', application_name: 'shöp', empty: '' }
    expect(read(startup({ user: 'ann', database: 'db', params }))).toEqual({
      kind: 'startup',
      protocol: PROTOCOL_3_0,
      parameters: [
        ['user', 'ann'],
        ['database', 'db'],
        ['options', '-c a=b'],
        ['_pq_.x', '1'],
        ['application_name', 'shöp'],
        ['empty', ''],
      ],
    })
    expect(read(untyped(PROTOCOL_3_0, new Uint8Array(1))).parameters).toEqual([])
  })

  test('keeps both of a parameter that is told twice', () => {
    const pairs = ['user', 'a', 'user', 'b'].map(cstring)
    const { parameters } = read(untyped(PROTOCOL_3_0, ...pairs, new Uint8Array(1)))
    expect(parameters).toEqual([
      ['user', 'a'],
      ['user', 'b'],
    ])
  })

  test('that is malformed is none, with the reason', () => {
    const whole = startup({ user: 'ann' })
    const sentence = (packet: Uint8Array): string => {
      const step = readStartup(packet)
      return step.kind === 'malformed' ? step.sentence : ''
    }
    for (let end = 0; end < whole.length; end++) {
      expect(sentence(whole.subarray(0, end))).toStartWith('invalid startup packet: ')
    }
    const of = (...parts: Uint8Array[]): string => sentence(untyped(PROTOCOL_3_0, ...parts))
    expect(of(cstring('user'), cstring('ann'))).toEndWith('its last byte is not its terminator')
    expect(of(cstring('user'))).toEndWith('it ends within a parameter')
    expect(of(new Uint8Array(2))).toEndWith('its last byte is not its terminator')
    expect(of(cstring('user'), Uint8Array.of(0xff, 0), new Uint8Array(1))).toEndWith(
      'its parameter 1 is not UTF-8',
    )
    expect(of(new Uint8Array(10_001))).toEndWith('it has 10009 bytes')
    expect(sentence(untyped(2 << 16, new Uint8Array(1)))).toEndWith('it is not of protocol 3')
  })
})

test('a client of a newer version, or with unknown options, is owed an answer about it', () => {
  const of = (protocol: number, params = {}) =>
    negotiation(read(startup({ user: 'a', protocol, params })))
  expect(of(PROTOCOL_3_0)).toEqual({ owed: false, protocol: PROTOCOL_3_0, unknown: [] })
  expect(of(196_610).owed).toBeFalse()
  expect(of(196_608 + 9999, { '_pq_.test': '' })).toEqual({
    owed: true,
    protocol: 196_610,
    unknown: ['_pq_.test'],
  })
})
