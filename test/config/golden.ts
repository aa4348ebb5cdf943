/** Reads the cases of test/fixtures/config: a configuration with its outcome in its last lines. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { ReadFile } from '../../src/config/files.ts'

const FOLDER = join(import.meta.dir, '../fixtures/config')

export interface GoldenCase {
  readonly name: string
  readonly text: string
  /** What the case is read as. */
  readonly file: 'postern.yaml' | 'postern_plugins.yaml'
  readonly problems: readonly string[]
  readonly notices: readonly string[]
  readonly values: readonly (readonly [key: string, json: string])[]
  readonly env: Readonly<Record<string, string>>
}

function halves(text: string, separator: string): readonly [string, string] {
  const at = text.indexOf(separator)
  return at === -1 ? [text, ''] : [text.slice(0, at), text.slice(at + separator.length)]
}

function goldenCase(name: string): GoldenCase {
  const text = readFileSync(join(FOLDER, name), 'utf8')
  const marked = (word: string) =>
    text
      .split('\n')
      .filter((line) => line.startsWith(`#= ${word} `))
      .map((line) => line.slice(`#= ${word} `.length))
  return {
    name,
    text,
    file: name.endsWith('plugins.yaml') ? 'postern_plugins.yaml' : 'postern.yaml',
    problems: marked('problem'),
    notices: marked('notice'),
    values: marked('value').map((line) => halves(line, ' ')),
    env: Object.fromEntries(marked('env').map((line) => halves(line, '='))),
  }
}

/** Every case, by the name of its file. */
export function goldenCases(): readonly GoldenCase[] {
  const names = readdirSync(FOLDER).filter((name) => name.endsWith('.yaml'))
  return names.sort().map(goldenCase)
}

/** A file system that holds these files and no others. */
export function filesOf(files: Readonly<Record<string, string>>): ReadFile {
  return (path) => {
    const text = files[path]
    return text === undefined ? { kind: 'absent' } : { kind: 'text', text }
  }
}
