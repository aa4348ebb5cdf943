/** Finds the configuration files and reads them, within limits. */
import { closeSync, openSync, readSync } from 'node:fs'
import { GatewayError } from '../base/errors.ts'
import { ConfigError } from './problem.ts'

/** What came of reading a file. */
export type FileRead =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'absent' }
  | { readonly kind: 'refused'; readonly message: string }

/** Reads a whole text file; never throws. */
export type ReadFile = (path: string) => FileRead

/** A configuration longer than this is a mistake. */
export const FILE_BYTES_MAX = 1_048_576

/** Codes of errors that mean: there is nothing at this path. */
const ABSENT = new Set(['ENOENT', 'ENOTDIR'])

const REASONS: Readonly<Record<string, string>> = {
  EACCES: 'permission denied',
  EPERM: 'permission denied',
  EISDIR: 'it is a folder',
  ELOOP: 'too many symbolic links',
}

/** The content of a file, or one byte more than the limit of it: pipes have no size to ask for. */
function bytesOf(path: string): Uint8Array {
  const descriptor = openSync(path, 'r')
  try {
    const bytes = new Uint8Array(FILE_BYTES_MAX + 1)
    let length = 0
    while (length < bytes.length) {
      const read = readSync(descriptor, bytes, length, bytes.length - length, null)
      if (read === 0) break
      length += read
    }
    return bytes.subarray(0, length)
  } finally {
    closeSync(descriptor)
  }
}

/** Reads a file of at most 1 MiB of UTF-8. */
export function readTextFile(path: string): FileRead {
  try {
    const bytes = bytesOf(path)
    if (bytes.length > FILE_BYTES_MAX) {
      return { kind: 'refused', message: `it is longer than ${FILE_BYTES_MAX} bytes` }
    }
    return { kind: 'text', text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) }
  } catch (error) {
    if (error instanceof TypeError) return { kind: 'refused', message: 'it is not UTF-8 text' }
    const code = error instanceof Error && 'code' in error ? String(error.code) : 'unreadable'
    if (ABSENT.has(code)) return { kind: 'absent' }
    return { kind: 'refused', message: REASONS[code] ?? code }
  }
}

/** A file that was found. */
export interface FoundFile {
  readonly path: string
  readonly text: string
}

/** One kind of configuration file. */
interface FileKind {
  readonly what: string
  readonly flag: string
  readonly name: string
  /** What GatewayD calls the same file. */
  readonly formerName: string
}

const GLOBAL: FileKind = {
  what: 'configuration file',
  flag: '-c',
  name: 'postern.yaml',
  formerName: 'gatewayd.yaml',
}
const PLUGINS: FileKind = {
  what: 'plugins file',
  flag: '-p',
  name: 'postern_plugins.yaml',
  formerName: 'gatewayd_plugins.yaml',
}

/** Both files, and what the operator should know about how they were found. */
export interface FoundFiles {
  readonly global: FoundFile
  /** Null where none was asked for and none lies at the usual places. */
  readonly plugins: FoundFile | null
  readonly notices: readonly string[]
}

/** Places of a file that was not named, best first. */
function usualPlaces(name: string): readonly string[] {
  return [name, `/etc/${name}`]
}

/** The file at a path, or undefined if there is none. */
function readAt(path: string, kind: FileKind, readFile: ReadFile): FoundFile | undefined {
  const read = readFile(path)
  if (read.kind === 'absent') return undefined
  if (read.kind === 'text') return { path, text: read.text }
  const message = `the ${kind.what} cannot be read: ${read.message}`
  throw new ConfigError([{ file: path, line: 0, column: 0, path: '', message }])
}

function readNamed(path: string, kind: FileKind, readFile: ReadFile): FoundFile {
  const found = readAt(path, kind, readFile)
  if (found !== undefined) return found
  const message = `${path}: there is no such ${kind.what}; create it, or correct ${kind.flag}`
  throw new GatewayError('CONFIG_MISSING', message)
}

function readFirst(
  paths: readonly string[],
  kind: FileKind,
  readFile: ReadFile,
): FoundFile | undefined {
  for (const path of paths) {
    const found = readAt(path, kind, readFile)
    if (found !== undefined) return found
  }
  return undefined
}

/** The file by its own name, else by its former name, with a notice. */
function lookUp(kind: FileKind, readFile: ReadFile, notices: string[]): FoundFile | undefined {
  const own = readFirst(usualPlaces(kind.name), kind, readFile)
  if (own !== undefined) return own
  const former = readFirst(usualPlaces(kind.formerName), kind, readFile)
  if (former !== undefined) {
    notices.push(`${former.path} is read because there is no ${kind.name}`)
  }
  return former
}

/** Reads the files that were named, else those at the usual places. */
export function findFiles(
  configPath: string | undefined,
  pluginsPath: string | undefined,
  readFile: ReadFile,
): FoundFiles {
  const notices: string[] = []
  const global =
    configPath === undefined
      ? lookUp(GLOBAL, readFile, notices)
      : readNamed(configPath, GLOBAL, readFile)
  if (global === undefined) {
    const places = [GLOBAL.name, GLOBAL.formerName].flatMap(usualPlaces).join(', ')
    const cure = 'create one, or run without: postern run --upstream HOST:PORT --listen HOST:PORT'
    throw new GatewayError(
      'CONFIG_MISSING',
      `no configuration file (looked for ${places}): ${cure}`,
    )
  }
  const plugins =
    pluginsPath === undefined
      ? lookUp(PLUGINS, readFile, notices)
      : readNamed(pluginsPath, PLUGINS, readFile)
  if (plugins === undefined) {
    const places = [PLUGINS.name, PLUGINS.formerName].flatMap(usualPlaces).join(', ')
    notices.push(`no plugins file (looked for ${places}): no plugins`)
  }
  return { global, plugins: plugins ?? null, notices }
}
