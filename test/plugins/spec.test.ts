import { expect, test } from 'bun:test'
import { configFromFlags } from '../../src/config/flags.ts'
import { specOf } from '../../src/plugins/spec.ts'

test('an entry becomes a spec with the defaults of its file filled in', () => {
  const { plugins } = configFromFlags({
    upstream: '127.0.0.1:5432',
    listen: '127.0.0.1:15432',
    plugins: [
      { localPath: '/nowhere/first', checksum: 'ab'.repeat(32) },
      { localPath: '/nowhere/second', checksum: null },
    ],
  })
  const file = { ...plugins, resultBytesMax: 12_345 }
  expect(file.plugins.map((entry) => specOf(entry, file))).toMatchObject([
    {
      name: null,
      priority: 1000,
      runtime: 'grpc',
      localPath: '/nowhere/first',
      checksum: 'ab'.repeat(32),
      required: false,
      onFailure: 'open',
      timeoutMs: 30_000,
      startTimeoutMs: 60_000,
      resultBytesMax: 12_345,
    },
    { priority: 1001, checksum: null },
  ])
})

test('a call deadline is never longer than the timeout of its entry', () => {
  const read = (timeout: number) => {
    const { plugins } = configFromFlags({
      upstream: '127.0.0.1:5432',
      listen: '127.0.0.1:15432',
      plugins: [{ localPath: '/nowhere/first', checksum: null }],
    })
    const entry = { ...plugins.plugins[0]!, timeout }
    return specOf(entry, plugins).limits.callDeadlineMs
  }
  expect(read(10)).toBe(10)
  expect(read(30_000)).toBe(50)
})
