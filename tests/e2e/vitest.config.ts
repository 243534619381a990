import { defineConfig } from "vitest/config";

// Each file starts servers of its own; one file at a time, so that two cores are not shared by many.
export default defineConfig({
  test: {
    include: ["**/*.test.ts"],
    fileParallelism: false,
    testTimeout: 400_000, // what does not come; a slow machine may take long for the rest
    hookTimeout: 400_000,
    retry: 0,
  },
});
