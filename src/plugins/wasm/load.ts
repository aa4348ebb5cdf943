/**
 * From a file to a compiled module, in one pass over one reading of the file: the bytes that were
 * hashed are the bytes that run.
 */
import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import { GatewayError, sentenceOf } from '../../base/errors.ts'
import { type LimitHits, noLimitHits } from '../limits.ts'
import type { PluginSpec, PluginSurroundings } from '../plugin.ts'
import { checkAbi, type GuestShape } from './abi.ts'
import { PAGE_BYTES } from './limits.ts'
import { ASIDE_BYTES, type Order, type Prepared, prepare, prepareAside } from './prepare.ts'
import { WASI_NAMES } from './wasi.ts'

/** A module that may be made into instances. */
export interface Loaded {
  readonly module: WebAssembly.Module
  readonly shape: GuestShape
  /** SHA-256 of the file, 64 hex digits. */
  readonly checksum: string
}

/** How a plugin is named in errors before its manifest was read. */
export function placeOf(spec: PluginSpec): string {
  return spec.name === null ? spec.localPath : `${spec.name} (${spec.localPath})`
}

/** All of the file, read once and through one descriptor; null: more than `bytesMax`. */
async function readBounded(path: string, bytesMax: number): Promise<Uint8Array | null> {
  // A pipe without a writer would be waited for.
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK)
  try {
    const found = await file.stat()
    if (!found.isFile()) throw new Error('it is no regular file')
    if (found.size > bytesMax) return null
    // One more than it has, so that a file that grows meanwhile shows.
    let bytes = new Uint8Array(found.size + 1)
    let length = 0
    for (;;) {
      const { bytesRead } = await file.read(bytes, length, bytes.length - length, null)
      if (bytesRead === 0) return bytes.subarray(0, length)
      length += bytesRead
      if (length > bytesMax) return null
      if (length < bytes.length) continue
      const longer = new Uint8Array(Math.min(2 * length, bytesMax + 1))
      longer.set(bytes)
      bytes = longer
    }
  } finally {
    await file.close()
  }
}

async function readBytes(spec: PluginSpec, hits: LimitHits): Promise<Uint8Array> {
  const { moduleBytesMax } = spec.limits
  let bytes: Uint8Array | null
  try {
    bytes = await readBounded(spec.localPath, moduleBytesMax)
  } catch (cause) {
    const cure = '`localPath` must name a readable .wasm file'
    throw new GatewayError('PLUGIN_FILE', `${placeOf(spec)}: cannot be read; ${cure}`, { cause })
  }
  if (bytes !== null) return bytes
  hits.add('moduleBytesMax')
  const sentence = `has over ${moduleBytesMax} bytes; make it smaller, or raise moduleBytesMax`
  throw new GatewayError('PLUGIN_FILE', `${placeOf(spec)}: ${sentence}`)
}

/** Compares the file with the pin; under `dev` a difference is only warned of. */
function checkSum(spec: PluginSpec, found: string, { dev, log }: PluginSurroundings): void {
  const { checksum } = spec
  if (checksum === found) return
  const flaw =
    checksum === null
      ? `no checksum is given; if the file is to be trusted, set \`checksum: ${found}\``
      : `the checksum is ${found}, but ${checksum} is expected: the file is not the one pinned`
  const sentence = `${placeOf(spec)}: ${flaw}`
  if (!dev) throw new GatewayError('PLUGIN_CHECKSUM', sentence)
  if (checksum === null) log.info(sentence)
  else log.warn(`${sentence}; loaded all the same, because of --dev`)
}

async function compile(
  bytes: Uint8Array<ArrayBuffer>,
  spec: PluginSpec,
): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(bytes)
  } catch (cause) {
    throw new GatewayError(
      'PLUGIN_WASM',
      `${placeOf(spec)}: does not compile; build the plugin again`,
      { cause },
    )
  }
}

/** Hashes and meters the bytes; those of a big module on a thread of their own. */
async function prepared(
  spec: PluginSpec,
  bytes: Uint8Array,
  { dev }: PluginSurroundings,
): Promise<Prepared> {
  const { memoryBytesMax, tableElementsMax, moduleBytesMax } = spec.limits
  const order: Order = {
    bytes,
    where: placeOf(spec),
    // Under `dev` a module with another hash is run all the same.
    pinned: dev ? null : (spec.checksum ?? ''),
    limits: {
      memoryPagesMax: Math.floor(memoryBytesMax / PAGE_BYTES),
      tableElementsMax,
      moduleBytesMax,
    },
  }
  return bytes.length > ASIDE_BYTES ? prepareAside(order, spec.startTimeoutMs) : prepare(order)
}

/** Reads, checks and compiles a plugin's module; rejects with a GatewayError naming the place. */
export async function loadModule(
  spec: PluginSpec,
  surroundings: PluginSurroundings,
  hits = noLimitHits(),
): Promise<Loaded> {
  const outcome = await prepared(spec, await readBytes(spec, hits), surroundings)
  const { checksum } = outcome
  checkSum(spec, checksum, surroundings)
  if (outcome.kind === 'refused') throw new GatewayError('PLUGIN_WASM', outcome.sentence)
  const { bytes, shape } = outcome.metered
  const guestShape = checkAbi(shape, placeOf(spec), WASI_NAMES)
  return { module: await compile(bytes, spec), shape: guestShape, checksum }
}

/** A sentence for something that failed while a module was started. */
export function startFlaw(spec: PluginSpec, what: string, cause: unknown): GatewayError {
  const sentence = `${placeOf(spec)}: ${what} failed: ${sentenceOf(cause)}`
  return new GatewayError('PLUGIN_WASM', sentence, { cause })
}
