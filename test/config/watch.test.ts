import { afterAll, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pino } from 'pino'
import { watchFiles } from '../../src/config/watch.ts'

const folder = mkdtempSync(join(tmpdir(), 'watch-'))
afterAll(() => rmSync(folder, { recursive: true }))

const SILENT = pino({ level: 'silent' })

/** Watches these files; `change` resolves with the number of changes told so far. */
function watching(files: () => readonly string[]) {
  let changes = 0
  let wake = (): void => {}
  const changed = async (): Promise<void> => {
    changes += 1
    wake()
  }
  const watch = watchFiles({ files, changed, log: SILENT })
  const change = async (upTo: number): Promise<number> => {
    while (changes < upTo) {
      await new Promise<void>((resolve) => {
        wake = resolve
      })
    }
    return changes
  }
  return { change, count: () => changes, stop: () => watch.stop() }
}

test('writing, replacing by a rename, removing and coming back are changes', async () => {
  const file = join(folder, 'a.yaml')
  writeFileSync(file, 'one')
  const watched = watching(() => [file])
  writeFileSync(file, 'two')
  await watched.change(1)
  writeFileSync(`${file}.new`, 'three')
  renameSync(`${file}.new`, file)
  await watched.change(2)
  rmSync(file)
  await watched.change(3)
  writeFileSync(file, 'four')
  await watched.change(4)
  watched.stop()
})

test('both files of one edit make one change, and other files none', async () => {
  const files = [join(folder, 'global.yaml'), join(folder, 'plugins.yaml')]
  for (const file of files) writeFileSync(file, 'one')
  const watched = watching(() => files)
  writeFileSync(join(folder, 'other.yaml'), 'one')
  for (const file of files) writeFileSync(file, 'two')
  await watched.change(1)
  writeFileSync(join(folder, 'other.yaml'), 'two')
  writeFileSync(files[0]!, 'three')
  expect(await watched.change(2)).toBe(2)
  watched.stop()
})

test('a file behind a link that is set anew is a change', async () => {
  const place = join(folder, 'mounted')
  for (const version of ['v1', 'v2']) {
    mkdirSync(join(place, version), { recursive: true })
    writeFileSync(join(place, version, 'a.yaml'), version)
  }
  symlinkSync('v1', join(place, 'data'))
  symlinkSync('data/a.yaml', join(place, 'a.yaml'))
  const watched = watching(() => [join(place, 'a.yaml')])
  symlinkSync('v2', join(place, 'data.new'))
  renameSync(join(place, 'data.new'), join(place, 'data'))
  await watched.change(1)
  watched.stop()
})

test('what changes while a change is worked off is not lost', async () => {
  const file = join(folder, 'late.yaml')
  writeFileSync(file, 'one')
  const done = Promise.withResolvers<void>()
  let changes = 0
  const second = Promise.withResolvers<void>()
  const changed = async (): Promise<void> => {
    changes += 1
    if (changes === 2) second.resolve()
    writeFileSync(file, `${changes}, longer`.repeat(changes === 1 ? 1 : 0) || 'two')
    await done.promise
  }
  const watch = watchFiles({ files: () => [file], changed, log: SILENT })
  writeFileSync(file, 'changed')
  done.resolve()
  await second.promise
  watch.stop()
})
