/**
 * From a file to a compiled module, in one pass over one reading of the file: the bytes that were
 * hashed are the bytes that run.
 */
import { createHash } from 'node:crypto'
import { open } from 'node:fs/promises'
import { GatewayError, sentenceOf } from '../../base/errors.ts'
import type { PluginSpec, PluginSurroundings } from '../plugin.ts'
import { checkAbi, type GuestShape } from './abi.ts'
import { MODULE_BYTES_MAX } from './limits.ts'
import { readModule } from './module.ts'
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

async function readBounded(spec: PluginSpec): Promise<Uint8Array> {
  const file = await open(spec.localPath)
  try {
    const { size } = await file.stat()
    if (size > MODULE_BYTES_MAX) {
      throw new Error(`it has ${size} bytes; a module may have ${MODULE_BYTES_MAX}`)
    }
    return await file.readFile()
  } finally {
    await file.close()
  }
}

async function readBytes(spec: PluginSpec): Promise<Uint8Array> {
  try {
    return await readBounded(spec)
  } catch (cause) {
    const cure = '`localPath` must name a readable .wasm file'
    throw new GatewayError('PLUGIN_FILE', `${placeOf(spec)}: cannot be read; ${cure}`, { cause })
  }
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

async function compile(bytes: Uint8Array, spec: PluginSpec): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(new Uint8Array(bytes))
  } catch (cause) {
    throw new GatewayError(
      'PLUGIN_WASM',
      `${placeOf(spec)}: does not compile; build the plugin again`,
      { cause },
    )
  }
}

/** Reads, checks and compiles a plugin's module; rejects with a GatewayError naming the place. */
export async function loadModule(
  spec: PluginSpec,
  surroundings: PluginSurroundings,
): Promise<Loaded> {
  const bytes = await readBytes(spec)
  const checksum = createHash('sha256').update(bytes).digest('hex')
  checkSum(spec, checksum, surroundings)
  const shape = checkAbi(readModule(bytes, placeOf(spec)), placeOf(spec), WASI_NAMES)
  // Metering rewrites the bytes here, between the check of the original and its compilation.
  return { module: await compile(bytes, spec), shape, checksum }
}

/** A sentence for something that failed while a module was started. */
export function startFlaw(spec: PluginSpec, what: string, cause: unknown): GatewayError {
  const sentence = `${placeOf(spec)}: ${what} failed: ${sentenceOf(cause)}`
  return new GatewayError('PLUGIN_WASM', sentence, { cause })
}
