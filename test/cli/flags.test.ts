import { expect, test } from 'bun:test'
import { GatewayError } from '../../src/base/errors.ts'
import { readFlags } from '../../src/cli/flags.ts'

const OPTIONS = {
  json: { type: 'boolean' },
  socket: { type: 'string', short: 's' },
} as const

test('flags are read, long and short', () => {
  expect({ ...readFlags(['--json', '-s', '/x'], OPTIONS).values }).toEqual({
    json: true,
    socket: '/x',
  })
  expect({ ...readFlags(['--socket=/y'], OPTIONS).values }).toEqual({ socket: '/y' })
})

test('other arguments are taken where they are expected', () => {
  expect(readFlags(['a', '--json', 'b'], OPTIONS, 'FILE').positionals).toEqual(['a', 'b'])
  expect(readFlags(['--', '--json'], OPTIONS, 'FILE').positionals).toEqual(['--json'])
})

test.each([
  [['--jsno'], /the flag --jsno is not known; did you mean --json\?/],
  [['--sokcet', '/x'], /the flag --sokcet is not known; did you mean --socket\?/],
  [['--frobnicate'], /the flag --frobnicate is not known; there is --json, --socket/],
  [['-x'], /the flag -x is not known/],
  [['--json=yes'], /--json/],
  [['--socket'], /--socket/],
  [['stray'], /"stray" is not expected/],
])('%j is refused', (argv, message) => {
  const read = () => readFlags(argv, OPTIONS)
  expect(read).toThrow(GatewayError)
  expect(read).toThrow(message)
})

test('a command without flags says that it takes none', () => {
  expect(() => readFlags(['--json'], {})).toThrow(/the flag --json is not known; it takes none/)
})
