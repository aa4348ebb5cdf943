/** What plugins require of each other: whether a plugin's wishes are met by those before it. */
import type { PluginManifest, PluginStatus } from './plugin.ts'

/** What is asked of a plugin that another one requires. */
export interface Loaded {
  readonly name: string
  status(): Pick<PluginStatus, 'state' | 'version'>
}

interface Version {
  readonly numbers: readonly number[]
  /** The parts behind the hyphen; a version with any comes before the one without. */
  readonly prerelease: readonly string[]
}

const SEMVER = /^v?(\d{1,9})(?:\.(\d{1,9}))?(?:\.(\d{1,9}))?(?:-([\w.-]+))?(?:\+[\w.-]+)?$/

function versionIn(text: string): Version | null {
  const found = SEMVER.exec(text.trim())
  if (found === null) return null
  const [, major = '0', minor = '0', patch = '0', prerelease] = found
  return { numbers: [major, minor, patch].map(Number), prerelease: prerelease?.split('.') ?? [] }
}

function comparePart(one: string, other: string): number {
  const areNumbers = [one, other].map((part) => /^\d+$/.test(part))
  if (areNumbers[0] && areNumbers[1]) return Number(one) - Number(other)
  // Numbers come before words.
  if (areNumbers[0] !== areNumbers[1]) return areNumbers[0] ? -1 : 1
  return one < other ? -1 : one > other ? 1 : 0
}

function comparePrerelease(one: readonly string[], other: readonly string[]): number {
  if (one.length === 0 || other.length === 0) return other.length - one.length
  for (let at = 0; at < Math.min(one.length, other.length); at++) {
    const difference = comparePart(one[at] ?? '', other[at] ?? '')
    if (difference !== 0) return difference
  }
  return one.length - other.length
}

/** True where a version is the wanted one, or one behind it in the order of semver.org. */
export function isAtLeast(found: string, wanted: string): boolean {
  if (found === wanted) return true
  const [has, needs] = [versionIn(found), versionIn(wanted)]
  if (has === null || needs === null) return false
  for (const [at, number] of needs.numbers.entries()) {
    const difference = (has.numbers[at] ?? 0) - number
    if (difference !== 0) return difference > 0
  }
  return comparePrerelease(has.prerelease, needs.prerelease) >= 0
}

/** What is not met, as sentences that name both plugins and the cure. */
export function unmet(manifest: PluginManifest, before: readonly Loaded[]): readonly string[] {
  return manifest.requires.flatMap(({ name, version }) => {
    const flaw = flawOf(
      before.find((plugin) => plugin.name === name),
      name,
      version,
    )
    return flaw === null ? [] : [`plugin "${manifest.name}" requires ${flaw}`]
  })
}

function flawOf(plugin: Loaded | undefined, name: string, version: string): string | null {
  const wish = `"${name}" ${version} or newer`
  if (plugin === undefined) return `${wish}: put an entry for it before this one`
  const { state, version: found } = plugin.status()
  if (state !== 'ready') return `${wish}, which is ${state}: see its own error`
  if (isAtLeast(found, version)) return null
  return `${wish}, but it is ${found === '' ? 'of no version' : found}: update "${name}"`
}
