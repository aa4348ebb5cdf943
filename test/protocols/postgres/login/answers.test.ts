import { expect, test } from 'bun:test'
import {
  authenticationMd5,
  authenticationOk,
  authenticationSasl,
  backendKeyData,
  negotiateProtocolVersion,
  parameterStatus,
  saslContinue,
  saslFinal,
} from '../../../../src/protocols/postgres/login/answers.ts'
import { decode } from '../../../kit/backend.ts'
import { concat, cstring } from '../../../kit/frontend.ts'

test('questions and answers of a login are those of the documentation', () => {
  const zero = new Uint8Array(1)
  const salt = Uint8Array.of(1, 2, 3, 4)
  const of = (code: number, payload: Uint8Array) => ({ name: 'Authentication', code, payload })
  expect(decode(authenticationOk())).toMatchObject(of(0, new Uint8Array(0)))
  expect(decode(authenticationMd5(salt))).toMatchObject(of(5, salt))
  const offered = concat(cstring('SCRAM-SHA-256-PLUS'), cstring('SCRAM-SHA-256'), zero)
  expect(decode(authenticationSasl(['SCRAM-SHA-256-PLUS', 'SCRAM-SHA-256']))).toMatchObject(
    of(10, offered),
  )
  expect(decode(saslContinue('r=\xff'))).toMatchObject(of(11, Uint8Array.of(0x72, 0x3d, 0xff)))
  expect(decode(saslFinal('v='))).toMatchObject(of(12, Uint8Array.of(0x76, 0x3d)))
})

test('parameters, cancel keys of any length and versions are told', () => {
  expect(decode(parameterStatus('TimeZone', 'Europe/Zür\0ich'))).toMatchObject({
    parameter: 'TimeZone',
    value: 'Europe/Zürich',
  })
  const secret = new Uint8Array(256).fill(9)
  expect(decode(backendKeyData(concat(Uint8Array.of(0, 0, 1, 0), secret)))).toMatchObject({
    pid: 256,
    secret,
  })
  expect(decode(negotiateProtocolVersion(196_610, ['_pq_.a', '_pq_.b']))).toMatchObject({
    minor: 196_610,
    unknown: ['_pq_.a', '_pq_.b'],
  })
  expect(decode(negotiateProtocolVersion(196_608, []))).toMatchObject({ unknown: [] })
})
