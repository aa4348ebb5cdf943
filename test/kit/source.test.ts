import { afterAll, beforeAll, expect, test } from 'bun:test'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readSources, type Source } from './source.ts'

const GUILTY = `import { readFile } from 'node:fs/promises'
import type { Friend } from './friend.ts'
export enum Colour { Red }
namespace Inner { export const one = 1 }
export default function data(info: any) {
  console.error(info)
  process.exit(1)
}
const late = await import('./friend.ts')
const long = () => {
  return 1
}
class Box {
  get size() {
    return 0
  }
  open(handle: string) {}
}
test.skipIf(true)('one (needs go)', () => {})
test.skipIf(true)(\`two \${1} (needs go)\`, () => {})
test.todo(late)
describe('a group', () => {
  test('inside', () => {})
})
`

const INNOCENT = `// any enum console.log process.exit(1) export default
const text = 'any enum console.log process.exit(1)'
const log = { info: (words: string) => words, data(socket: string) {} }
log.info('x')
interface Signature { call(one: string): void }
declare module 'foreign' {}
`

let folder: string
let guilty: Source
let innocent: Source
beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'postern-source-'))
  mkdirSync(join(folder, 'src'))
  const compilerOptions = { module: 'preserve', noLib: true, types: [] }
  writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions }))
  writeFileSync(join(folder, 'src/guilty.ts'), GUILTY)
  writeFileSync(join(folder, 'src/innocent.ts'), INNOCENT)
  const found = await readSources(folder)
  const named = (path: string): Source => {
    const source = found.find((one) => one.path === path)
    if (source === undefined) throw new Error(`${path} was not read`)
    return source
  }
  guilty = named('src/guilty.ts')
  innocent = named('src/innocent.ts')
})
afterAll(() => rmSync(folder, { recursive: true }))

test('imports are found, also those of types and those made late', () => {
  expect(guilty.imports).toEqual([
    { line: 1, isOurs: false, from: 'node:fs/promises' },
    { line: 2, isOurs: true, from: 'src/friend.ts' },
    { line: 9, isOurs: true, from: 'src/friend.ts' },
  ])
})

test('forbidden constructs are found with their lines', () => {
  const found = guilty.constructs.map(({ line, what }) => `${line} ${what}`)
  expect(found.sort()).toEqual([
    '3 enum',
    '4 namespace',
    '5 any',
    '5 export default',
    '6 console',
    '7 process.exit',
  ])
})

test('functions are measured with their names, groups of tests are not', () => {
  const found = guilty.functions.map(({ name, lines }) => `${name} ${lines}`)
  expect(found).toContain('data 4')
  expect(found).toContain('long 3')
  expect(found).toContain('size 3')
  expect(found.filter((one) => one.startsWith('a function'))).toHaveLength(3)
})

test('declared names are found', () => {
  const names = guilty.declared.map(({ what }) => what)
  expect(names).toContainValues(['data', 'info', 'handle', 'Box', 'long'])
})

test('tests that may be skipped are found with their titles', () => {
  const [one, two, three] = guilty.skippable.map(({ title }) => title)
  expect(one).toBe('one (needs go)')
  expect(two).toMatch(/^two .* \(needs go\)$/)
  expect(three).toBeNull()
})

test('words in comments, texts and signatures are no fault', () => {
  expect(innocent.constructs).toEqual([])
  expect(innocent.declared.map(({ what }) => what)).not.toContain('data')
  expect(innocent.functions.map(({ name }) => name)).not.toContain('call')
})
