import { afterAll, expect, test } from 'bun:test'
import { createHash } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { checksumOf } from '../../src/cli/checksum.ts'
import { thrownBy } from './recorder.ts'

const folder = mkdtempSync(join(tmpdir(), 'checksum-'))
afterAll(() => rmSync(folder, { recursive: true }))

test('the checksum of a file of several pieces is its SHA-256', async () => {
  const path = join(folder, 'large')
  const bytes = Buffer.alloc(300_000, 'abc')
  writeFileSync(path, bytes)
  expect(await checksumOf(path)).toBe(createHash('sha256').update(bytes).digest('hex'))
})

test('an empty file has a checksum too', async () => {
  const path = join(folder, 'empty')
  writeFileSync(path, '')
  expect(await checksumOf(path)).toStartWith('e3b0c442')
})

test.each(['absent', '.'])('%s, which is no file, is named', async (name) => {
  expect(await thrownBy(checksumOf(join(folder, name)))).toMatchObject({
    code: 'PLUGIN_FILE',
    message: expect.stringMatching(/cannot be read \(E(NOENT|ISDIR)/),
  })
})
