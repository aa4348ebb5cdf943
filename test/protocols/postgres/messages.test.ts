import { describe, expect, test } from 'bun:test'
import {
  copyFail,
  errorResponse,
  errorText,
  failingParse,
  failingQuery,
  message,
  readyForQuery,
  SYNC,
  walk,
  warning,
} from '../../../src/protocols/postgres/messages.ts'
import { BACKEND_TAGS, FRONTEND_TAGS } from '../../../src/protocols/postgres/tags.ts'
import { type BackendMessage, decode } from '../../kit/backend.ts'
import * as frontend from '../../kit/frontend.ts'

const REFUSED = { code: '42501', message: 'no', detail: 'because', hint: 'ask' }

function fieldsOf(bytes: Uint8Array): BackendMessage {
  return decode(bytes)
}

describe('what the gateway says', () => {
  test('an error has severity, code, message, detail and hint', () => {
    expect(fieldsOf(errorResponse(REFUSED))).toMatchObject({
      name: 'ErrorResponse',
      severity: 'ERROR',
      code: '42501',
      message: 'no',
      detail: 'because',
      hint: 'ask',
      all: { V: 'ERROR' },
    })
    expect(fieldsOf(errorResponse({ code: '08006', message: 'x' }, 'FATAL'))).toMatchObject({
      severity: 'FATAL',
      detail: null,
      hint: null,
    })
  })

  test('a warning is a notice, which ends no session', () => {
    expect(fieldsOf(warning(REFUSED))).toMatchObject({
      name: 'NoticeResponse',
      severity: 'WARNING',
    })
  })

  test('a code that is no SQLSTATE becomes one, and zero bytes do not end a text early', () => {
    for (const code of ['', '4250', '425011', '4250a', 'ab\0cd']) {
      expect(fieldsOf(errorResponse({ code, message: 'a\0b' }))).toMatchObject({
        code: 'XX000',
        message: 'ab',
      })
    }
  })

  test('texts are UTF-8', () => {
    expect(fieldsOf(errorResponse({ code: '42501', message: 'nö 🚫' }))).toMatchObject({
      message: 'nö 🚫',
    })
  })

  test('ReadyForQuery, Sync and CopyFail are those of the documentation', () => {
    expect(fieldsOf(readyForQuery(0x54))).toMatchObject({ name: 'ReadyForQuery', status: 'T' })
    expect([...SYNC]).toEqual([...frontend.sync()])
    expect([...copyFail('why')]).toEqual([...frontend.copyFail('why')])
    expect([...failingQuery('m')]).toEqual([...frontend.query('m')])
    expect([...failingParse('m')]).toEqual([...frontend.parse({ name: 'm', sql: 'm' })])
    expect([...message(0x51, new Uint8Array([1, 0]))]).toEqual([0x51, 0, 0, 0, 6, 1, 0])
  })
})

describe('the text of an error', () => {
  test('is found among its fields', () => {
    expect(errorText(errorResponse({ ...REFUSED, message: 'the marker' }))).toBe('the marker')
  })

  test('is empty where there is none, or the fields are cut', () => {
    expect(errorText(frontend.message('E', new Uint8Array([0])))).toBe('')
    expect(errorText(frontend.message('E'))).toBe('')
    expect(errorText(frontend.message('E', new TextEncoder().encode('Mcut')))).toBe('')
  })
})

describe('a walk over messages', () => {
  test('visits each with its tag and place', () => {
    const bytes = frontend.concat(frontend.query('a'), frontend.sync())
    const seen: string[] = []
    const flaw = walk(bytes, FRONTEND_TAGS, (tag, from, to) => {
      seen.push(`${String.fromCharCode(tag)} ${from}-${to}`)
    })
    expect(flaw).toBeNull()
    expect(seen).toEqual(['Q 0-7', 'S 7-12'])
    expect(walk(new Uint8Array(0), FRONTEND_TAGS, () => {})).toBeNull()
  })

  test('says what is wrong, and where', () => {
    const flawOf = (...bytes: readonly number[]): string | null =>
      walk(new Uint8Array(bytes), BACKEND_TAGS, () => {})
    expect(flawOf(0x5a, 0, 0)).toBe('the last message ends within its header')
    expect(flawOf(0x21, 0, 0, 0, 4)).toBe('byte 0 is no message type (0x21)')
    expect(flawOf(0x31, 0, 0, 0, 4, 0x5a, 0, 0, 0, 3)).toBe(
      'the message at byte 5 declares an invalid length of 3',
    )
    expect(flawOf(0x5a, 0, 0, 0, 9, 1)).toBe('the message at byte 0 is cut: 9 bytes declared')
    expect(flawOf(0x5a, 0xff, 0xff, 0xff, 0xff, 1)).toContain('4294967295 bytes declared')
  })
})
