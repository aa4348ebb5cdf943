import { describe, expect, test } from 'bun:test'
import { plainRecord } from '../../../src/plugins/wasm/journal-record.ts'

describe('a record is printed as it stands', () => {
  test('where its values are plain, without its message', () => {
    const record = plainRecord('{"message":"m","a":"x","b":[1,"y"],"c":null,"d":1.50}')
    expect(record).toEqual({ message: 'm', fields: '{"a":"x","b":[1,"y"],"c":null,"d":1.50}' })
  })
})

const others: Readonly<Record<string, string>> = {
  'that is no JSON': '{"message":"m","a":}',
  'that is cut': '{"message":"m","a":"x',
  'with something behind it': '{"message":"m","a":1} {"b":2}',
  'in several lines': '{"message":"m",\n"a":1}',
  'that begins with something else': '{"a":1,"message":"m"}',
  'without fields': '{"message":"m"}',
  'whose message is no text': '{"message":7,"a":1}',
  'whose message has escapes': '{"message":"a\\"b","a":1}',
  'with a password': '{"message":"m","db_password":"hidden"}',
  'with a secret in another writing': '{"message":"m","\\u0073ecret":"hidden"}',
  'with objects in it': '{"message":"m","a":{"token":"hidden"}}',
  'with objects in a list': '{"message":"m","a":[{"token":"hidden"}]}',
  'with lists in a list': '{"message":"m","a":[[1]]}',
  'that is long': `{"message":"m","a":"${'x'.repeat(5000)}"}`,
  'that is a text': 'message',
}

describe('a record is read and written anew', () => {
  for (const [what, text] of Object.entries(others)) {
    test(`one ${what}`, () => expect(plainRecord(text)).toBeNull())
  }
})
