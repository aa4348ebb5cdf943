import { describe, expect, test } from 'bun:test'
import { splitOptions } from '../../../../src/protocols/postgres/login/startup-options.ts'

const settings = (text: string) => {
  const options = splitOptions(text)
  if (options.kind === 'refused') throw new Error(options.refused.message)
  return options.settings
}

describe('options', () => {
  test('have settings in three forms', () => {
    expect(settings('-c a=1 -cb=2  --c-d=3\t-c e.f=')).toEqual([
      ['a', '1'],
      ['b', '2'],
      ['c_d', '3'],
      ['e.f', ''],
    ])
    expect(settings('')).toEqual([])
    expect(settings(' \n ')).toEqual([])
  })

  test('escape with a backslash, as libpq documents', () => {
    expect(settings(String.raw`-c a=b\ c -c d=e\\f\ `)).toEqual([
      ['a', 'b c'],
      ['d', String.raw`e\f `],
    ])
    expect(settings('-c a=b\\')).toEqual([['a', 'b']])
    expect(settings('-c a=b=c')).toEqual([['a', 'b=c']])
  })

  test('of another kind are refused by name', () => {
    for (const text of ['-S 100', '-e', '--', 'word', '-c a=1 -f i', '\\ ']) {
      expect(() => settings(text)).toThrow('in options is not supported; use -c name=value')
    }
    for (const text of ['-c', '-c a', '--a', '-c =1', '-c a=1 -c']) {
      expect(() => settings(text)).toThrow('requires a value')
    }
  })
})
