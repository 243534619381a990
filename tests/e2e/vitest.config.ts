import { defineConfig } from "vitest/config";

// Each file starts servers of its own; one file at a time, so that two cores are not shared by many.
export default defineConfig({
  test: {
    include: ["**/*.test.ts"],
    fileParallelism: false,
    testTimeout: 120_000,
    hookTimeout: 120_000,
    retry: 0,
  },
});
