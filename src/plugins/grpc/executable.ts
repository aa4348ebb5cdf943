/**
 * The file of a plugin before and after its start: whether it can be run, whether its checksum is
 * the pinned one, whether others may write it, and whether it changed while it was started.
 */
import type { BigIntStats } from 'node:fs'
import { access, constants, type FileHandle, open, realpath, stat } from 'node:fs/promises'
import { basename, dirname } from 'node:path'
import type { Logger } from 'pino'
import { GatewayError } from '../../base/errors.ts'
import type { PluginSpec } from '../plugin.ts'

export interface Executable {
  /** Without symbolic links: what was checked is what is started. */
  readonly path: string
  /** SHA-256 of the file, 64 hex digits. */
  readonly checksum: string
  /** Inode, size and times by which a change shows. */
  readonly stamp: string
}

export interface Examination {
  readonly plugin: string
  readonly spec: Pick<PluginSpec, 'localPath' | 'checksum' | 'args'>
  readonly dev: boolean
  readonly log: Logger
}

const READ_BYTES = 1_048_576
const GROUP_OR_OTHERS_WRITE = 0o022
const STICKY = 0o1000
const INTERPRETER = /^(bash|bun|dash|deno|java|node|perl|php|python|ruby|sh|zsh)[\d.]*$/

function stampOf(file: BigIntStats): string {
  return [file.dev, file.ino, file.size, file.mtimeNs, file.ctimeNs].join(' ')
}

function codeOf(cause: unknown): string {
  return cause instanceof Error && 'code' in cause ? String(cause.code) : ''
}

/** The sentence for a file that cannot be used, with its cure. */
function unusable(plugin: string, path: string, cause: unknown): GatewayError {
  const why: Readonly<Record<string, string>> = {
    ENOENT: 'does not exist; correct its localPath or install the plugin',
    ENOTDIR: 'does not exist, for a part of its path is no folder; correct its localPath',
    EACCES: 'may not be read and executed by this user; correct its permissions (chmod 755)',
    ELOOP: 'is a symbolic link to itself; correct it',
  }
  const sentence = why[codeOf(cause)] ?? 'cannot be used'
  return new GatewayError('PLUGIN_FILE', `plugin ${plugin}: ${path} ${sentence}`, { cause })
}

async function sha256(file: FileHandle): Promise<{ checksum: string; start: string }> {
  const hash = new Bun.CryptoHasher('sha256')
  const buffer = Buffer.allocUnsafe(READ_BYTES)
  let start = ''
  for (;;) {
    const { bytesRead } = await file.read(buffer, 0, READ_BYTES)
    if (bytesRead === 0) return { checksum: hash.digest('hex'), start }
    if (start === '') start = buffer.toString('latin1', 0, Math.min(bytesRead, 256))
    hash.update(buffer.subarray(0, bytesRead))
  }
}

/** Who may write the file, or replace it by writing its folder; null where nobody else may. */
function writableByOthers(file: BigIntStats, folder: BigIntStats, path: string): string | null {
  if ((Number(file.mode) & GROUP_OR_OTHERS_WRITE) !== 0) {
    return `${path} may be written by its group or by others; chmod go-w it`
  }
  const isOpen = (Number(folder.mode) & GROUP_OR_OTHERS_WRITE) !== 0
  // In a sticky folder (/tmp) only a file's owner may replace it.
  const isSticky = (Number(folder.mode) & STICKY) !== 0
  const isOurs = file.uid === 0n || Number(file.uid) === process.geteuid?.()
  if (!isOpen || (isSticky && isOurs)) return null
  return `the folder ${dirname(path)} may be written by its group or by others; chmod go-w it`
}

function refuseOrWarn(examination: Examination, problem: string): void {
  const { plugin, dev, log } = examination
  if (!dev) throw new GatewayError('PLUGIN_CHECKSUM', `plugin ${plugin}: ${problem}`)
  log.warn({ plugin }, `${problem} (permitted by --dev)`)
}

function checkPin(examination: Examination, path: string, found: string): void {
  const pinned = examination.spec.checksum
  if (pinned === found) return
  if (pinned === null) {
    const cure = `check the file, then write "checksum: ${found}" into its entry`
    if (examination.dev)
      examination.log.debug({ plugin: examination.plugin }, `no checksum: ${cure}`)
    else refuseOrWarn(examination, `its entry has no checksum; ${cure}`)
    return
  }
  refuseOrWarn(
    examination,
    `${path} is not the pinned file: its SHA-256 is ${found}, the entry says ${pinned}; ` +
      'install the right file, or correct the checksum if you trust this one',
  )
}

function warnOfInterpreter(examination: Examination, path: string, start: string): void {
  const { plugin, spec, log } = examination
  if (start.startsWith('#!')) {
    const interpreter = JSON.stringify(start.slice(2).split('\n', 1)[0]?.trim())
    log.warn(
      { plugin },
      `${path} is a script: its checksum pins the script alone, not its interpreter ${interpreter}`,
    )
  } else if (spec.args.length > 0 && INTERPRETER.test(basename(path))) {
    log.warn(
      { plugin },
      `${path} is an interpreter: its checksum pins the interpreter alone, not what it runs`,
    )
  }
}

/**
 * Checks the file of a plugin before its start. Throws a GatewayError, PLUGIN_FILE where it cannot
 * be run, PLUGIN_CHECKSUM where it cannot be trusted; under `dev` the latter is only warned of.
 */
export async function examine(examination: Examination): Promise<Executable> {
  const { plugin, spec } = examination
  try {
    const path = await realpath(spec.localPath)
    await using file = await open(path, 'r')
    const stats = await file.stat({ bigint: true })
    if (!stats.isFile()) {
      const problem = `plugin ${plugin}: ${spec.localPath} is no file; correct its localPath`
      throw new GatewayError('PLUGIN_FILE', problem)
    }
    await access(path, constants.X_OK)
    const { checksum, start } = await sha256(file)
    checkPin(examination, path, checksum)
    const problem = writableByOthers(stats, await stat(dirname(path), { bigint: true }), path)
    if (problem !== null) refuseOrWarn(examination, problem)
    warnOfInterpreter(examination, path, start)
    return { path, checksum, stamp: stampOf(stats) }
  } catch (cause) {
    throw cause instanceof GatewayError ? cause : unusable(plugin, spec.localPath, cause)
  }
}

/** True where the file is still the one examined: same inode, size and times. */
export async function isUnchanged(executable: Executable): Promise<boolean> {
  try {
    return stampOf(await stat(executable.path, { bigint: true })) === executable.stamp
  } catch {
    return false
  }
}
