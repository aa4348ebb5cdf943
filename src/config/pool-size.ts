/** How many connections a pool has, from the number that is configured. */

const SIZE_DEFAULT = 10
const SIZE_MIN = 2

/** The size in effect, by GatewayD's rule: 0 and less mean the default, 1 means 2. */
export function poolSize(configured: number): number {
  return configured <= 0 ? SIZE_DEFAULT : Math.max(configured, SIZE_MIN)
}
