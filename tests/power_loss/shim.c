/* A layer between a program and its disk, preloaded with LD_PRELOAD. Below one folder it writes down
 * every file operation that changes something, so that the tests can work out what a disk that lost
 * power would have kept; and it lets operations fail, by their number, as the tests say while the
 * program runs. Everything else passes through. It knows nothing of what the files mean.
 *
 *   DISK_ROOT     the folder, absolute
 *   DISK_JOURNAL  file that operations are written to; without it they are not
 *   DISK_FAULTS   file of eight 64-bit words that says what fails; without it nothing does
 *   DISK_NAP      microseconds that a sync takes at most, beside what it takes anyway
 *
 * A write is written down before it is done, everything else when it is done: killed at any moment, the
 * journal has every operation that the program has seen the end of. One lock is held around both, so
 * the journal's order is the order in which things happened. Of a file that was opened with O_DSYNC it is
 * written down as well when the write is on disk.
 *
 * Files named `lock.mdb` are left out: they are memory that processes share, and hold nothing that lasts. */

#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, WRITE, TRUNCATE, SYNC_BEGIN, SYNC_END, RENAME, UNLINK, MKDIR, RMDIR, CLOSE, DUP, UNKNOWN, SETTLED };

/* Kinds of operations that can be made to fail. */
enum { F_WRITE = 1, F_SYNC = 2, F_CREATE = 4, F_RENAME = 8, F_TRUNCATE = 16, F_REMOVE = 32, F_OPEN = 64 };

struct record {
    uint32_t op;
    int32_t fd, other;
    uint32_t path, path2, data;
    uint64_t at;
};

/* Counted so far, first and last that fail, errno, kinds that count, how many have failed. */
struct faults {
    volatile uint64_t count, first, last, error, kinds, failed, spare[2];
};

#define FDS 65536
/* 1: below the folder; 2: with O_DSYNC as well. */
static unsigned char tracked[FDS];
static char root[PATH_MAX];
static size_t root_length;
static int journal = -1;
static struct faults *faults;
static unsigned nap, syncs;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

#define REAL(name) ((__typeof__(&name))real(#name))
static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("DISK_ROOT"), *file;
    if (!folder) return;
    root_length = strlen(folder);
    memcpy(root, folder, root_length + 1);
    if ((file = getenv("DISK_JOURNAL")))
        journal = syscall(SYS_openat, AT_FDCWD, file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if ((file = getenv("DISK_FAULTS"))) {
        int fd = syscall(SYS_openat, AT_FDCWD, file, O_RDWR | O_CLOEXEC);
        void *map = fd < 0 ? MAP_FAILED : mmap(0, sizeof *faults, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map == MAP_FAILED) abort();
        faults = map;
    }
    if ((file = getenv("DISK_NAP"))) nap = atoi(file);
}

static int is_tracked(int fd) { return fd >= 0 && fd < FDS && tracked[fd]; }

/* The absolute path of a name, or 0 if it is not below the folder. */
static const char *below(int dir, const char *name, char *path) {
    if (!root_length || !name) return 0;
    path[0] = 0;
    if (name[0] != '/') {
        char link[64];
        ssize_t n;
        snprintf(link, sizeof link, dir == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", dir);
        n = readlink(link, path, PATH_MAX - 2);
        if (n < 0) return 0;
        path[n++] = '/';
        path[n] = 0;
    }
    if (strlen(path) + strlen(name) >= PATH_MAX) return 0;
    strcat(path, name);
    if (strncmp(path, root, root_length) || (path[root_length] && path[root_length] != '/')) return 0;
    size_t length = strlen(path);
    if (length >= 9 && !strcmp(path + length - 9, "/lock.mdb")) return 0;
    return path;
}

static void note(uint32_t op, int fd, int other, uint64_t at, const char *path, const char *path2,
                 const struct iovec *data, int parts, size_t bytes) {
    struct record record = {op, fd, other, path ? strlen(path) : 0, path2 ? strlen(path2) : 0, bytes, at};
    struct iovec all[70]; /* LMDB writes 64 pages at once */
    int n = 0, i;
    size_t left = bytes;
    if (journal < 0) return;
    all[n++] = (struct iovec){&record, sizeof record};
    if (path) all[n++] = (struct iovec){(void *)path, record.path};
    if (path2) all[n++] = (struct iovec){(void *)path2, record.path2};
    for (i = 0; i < parts && left && n < 70; i++) {
        size_t size = data[i].iov_len < left ? data[i].iov_len : left;
        all[n++] = (struct iovec){data[i].iov_base, size};
        left -= size;
    }
    size_t total = 0;
    for (i = 0; i < n; i++) total += all[i].iov_len;
    if (left || syscall(SYS_writev, journal, all, n) != (ssize_t)total) abort();
}

static void unknown(const char *what) { note(UNKNOWN, -1, 0, 0, what, 0, 0, 0, 0); }

/* Whether the next operation of that kind fails; errno says why. */
static int fails(uint64_t kind) {
    if (!faults || !(faults->kinds & kind)) return 0;
    uint64_t number = ++faults->count;
    if (!faults->first || number < faults->first || number > faults->last) return 0;
    faults->failed++;
    errno = (int)faults->error;
    return 1;
}

/* Opening. */

static int opened(int dir, const char *name, int flags, mode_t mode) {
    char buffer[PATH_MAX];
    const char *path = below(dir, name, buffer);
    int created, fd, error;
    if (!path) {
        fd = syscall(SYS_openat, dir, name, flags, mode);
        if (fd >= 0 && fd < FDS) tracked[fd] = 0;
        return fd;
    }
    pthread_mutex_lock(&lock);
    created = (flags & O_CREAT) && syscall(SYS_faccessat, AT_FDCWD, path, F_OK) != 0;
    if (fails(created ? F_CREATE : F_OPEN)) {
        pthread_mutex_unlock(&lock);
        return -1;
    }
    /* With a journal it is the journal that decides what was lost. */
    fd = syscall(SYS_openat, dir, name, journal < 0 ? flags : flags & ~O_DSYNC, mode);
    error = errno;
    if (fd >= FDS) abort();
    if (fd >= 0) {
        tracked[fd] = flags & O_DSYNC ? 2 : 1;
        note(OPEN, fd, (created ? 1 : 0) | (flags & O_TRUNC ? 2 : 0), 0, path, 0, 0, 0, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define MODE(flags, last)                                                                          \
    mode_t mode = 0;                                                                               \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {                                                       \
        va_list rest;                                                                              \
        va_start(rest, last);                                                                      \
        mode = va_arg(rest, mode_t);                                                               \
        va_end(rest);                                                                              \
    }
int open(const char *name, int flags, ...) { MODE(flags, flags) return opened(AT_FDCWD, name, flags, mode); }
int open64(const char *name, int flags, ...) { MODE(flags, flags) return opened(AT_FDCWD, name, flags | O_LARGEFILE, mode); }
int openat(int dir, const char *name, int flags, ...) { MODE(flags, flags) return opened(dir, name, flags, mode); }
int openat64(int dir, const char *name, int flags, ...) { MODE(flags, flags) return opened(dir, name, flags | O_LARGEFILE, mode); }
int creat(const char *name, mode_t mode) { return opened(AT_FDCWD, name, O_CREAT | O_WRONLY | O_TRUNC, mode); }
int creat64(const char *name, mode_t mode) { return creat(name, mode); }

static void forget(int fd) {
    if (!is_tracked(fd)) return;
    pthread_mutex_lock(&lock);
    tracked[fd] = 0;
    note(CLOSE, fd, 0, 0, 0, 0, 0, 0, 0);
    pthread_mutex_unlock(&lock);
}
int close(int fd) {
    forget(fd);
    return syscall(SYS_close, fd);
}
/* closedir() closes it later, unseen. */
DIR *fdopendir(int fd) {
    forget(fd);
    return REAL(fdopendir)(fd);
}

static int duplicated(int fd, int copy) {
    if (copy >= 0 && is_tracked(fd)) {
        pthread_mutex_lock(&lock);
        tracked[copy] = tracked[fd];
        note(DUP, fd, copy, 0, 0, 0, 0, 0, 0);
        pthread_mutex_unlock(&lock);
    }
    return copy;
}
int dup(int fd) { return duplicated(fd, syscall(SYS_dup, fd)); }
int dup3(int fd, int copy, int flags) { forget(copy); return duplicated(fd, syscall(SYS_dup3, fd, copy, flags)); }
int dup2(int fd, int copy) { return fd == copy ? copy : dup3(fd, copy, 0); }
static int controlled(int fd, int command, long argument) {
    int done = syscall(SYS_fcntl, fd, command, argument);
    return command == F_DUPFD || command == F_DUPFD_CLOEXEC ? duplicated(fd, done) : done;
}
#define ARGUMENT(last) va_list rest; va_start(rest, last); long argument = va_arg(rest, long); va_end(rest);
int fcntl(int fd, int command, ...) { ARGUMENT(command) return controlled(fd, command, argument); }
int fcntl64(int fd, int command, ...) { ARGUMENT(command) return controlled(fd, command, argument); }

/* Writing. `at` below 0: where the file stands. */

static ssize_t written(int fd, const struct iovec *parts, int n, off_t at) {
    ssize_t done;
    size_t bytes = 0;
    int i;
    for (i = 0; i < n; i++) bytes += parts[i].iov_len;
    pthread_mutex_lock(&lock);
    if (fails(F_WRITE)) {
        pthread_mutex_unlock(&lock);
        return -1;
    }
    off_t place = at;
    if (at < 0) {
        int flags = syscall(SYS_fcntl, fd, F_GETFL);
        place = lseek(fd, 0, flags & O_APPEND ? SEEK_END : SEEK_CUR);
    }
    note(WRITE, fd, 0, place, 0, 0, parts, n, bytes);
    done = at < 0 ? syscall(SYS_writev, fd, parts, n) : syscall(SYS_pwritev, fd, parts, n, (long)at, 0);
    int error = errno;
    if (done != (ssize_t)bytes) unknown("a write that was cut short");
    if (done == (ssize_t)bytes && tracked[fd] == 2) {
        if (nap) usleep((++syncs * 2654435761u >> 8) % nap);
        note(SETTLED, fd, 0, 0, 0, 0, 0, 0, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}
ssize_t write(int fd, const void *bytes, size_t size) {
    struct iovec part = {(void *)bytes, size};
    return is_tracked(fd) ? written(fd, &part, 1, -1) : syscall(SYS_write, fd, bytes, size);
}
ssize_t writev(int fd, const struct iovec *parts, int n) {
    return is_tracked(fd) ? written(fd, parts, n, -1) : syscall(SYS_writev, fd, parts, n);
}
ssize_t pwrite64(int fd, const void *bytes, size_t size, off64_t at) {
    struct iovec part = {(void *)bytes, size};
    return is_tracked(fd) ? written(fd, &part, 1, at) : syscall(SYS_pwrite64, fd, bytes, size, at);
}
ssize_t pwrite(int fd, const void *bytes, size_t size, off_t at) { return pwrite64(fd, bytes, size, at); }
ssize_t pwritev64(int fd, const struct iovec *parts, int n, off64_t at) {
    return is_tracked(fd) ? written(fd, parts, n, at) : syscall(SYS_pwritev, fd, parts, n, (long)at, 0);
}
ssize_t pwritev(int fd, const struct iovec *parts, int n, off_t at) { return pwritev64(fd, parts, n, at); }

int ftruncate64(int fd, off64_t size) {
    if (!is_tracked(fd)) return syscall(SYS_ftruncate, fd, size);
    pthread_mutex_lock(&lock);
    int done = fails(F_TRUNCATE) ? -1 : syscall(SYS_ftruncate, fd, size);
    if (!done) note(TRUNCATE, fd, 0, size, 0, 0, 0, 0, 0);
    pthread_mutex_unlock(&lock);
    return done;
}
int ftruncate(int fd, off_t size) { return ftruncate64(fd, size); }

/* Making durable. What was written before the beginning is, once the end is written down. */

static int synced(int fd, long call) {
    if (!is_tracked(fd)) return syscall(call, fd);
    pthread_mutex_lock(&lock);
    if (fails(F_SYNC)) {
        pthread_mutex_unlock(&lock);
        return -1;
    }
    unsigned number = ++syncs;
    note(SYNC_BEGIN, fd, 0, number, 0, 0, 0, 0, 0);
    pthread_mutex_unlock(&lock);
    if (nap) usleep((number * 2654435761u >> 8) % nap);
    int done = journal < 0 ? syscall(call, fd) : 0; /* the journal decides what was lost */
    pthread_mutex_lock(&lock);
    if (!done) note(SYNC_END, fd, 0, number, 0, 0, 0, 0, 0);
    pthread_mutex_unlock(&lock);
    return done;
}
int fsync(int fd) { return synced(fd, SYS_fsync); }
int fdatasync(int fd) { return synced(fd, SYS_fdatasync); }
/* Starts writing back, and promises nothing: neither a barrier for the drive nor the file's size. */
int sync_file_range(int fd, off64_t at, off64_t size, unsigned flags) {
    if (is_tracked(fd)) {
        pthread_mutex_lock(&lock);
        int failed = fails(F_SYNC);
        pthread_mutex_unlock(&lock);
        if (failed) return -1;
        if (journal >= 0) return 0;
    }
    return syscall(SYS_sync_file_range, fd, at, size, flags);
}

/* Names. */

static int renamed(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    char buffer[PATH_MAX], buffer2[PATH_MAX];
    const char *path = below(from_dir, from, buffer), *path2 = below(to_dir, to, buffer2);
    if (!path && !path2) return syscall(SYS_renameat2, from_dir, from, to_dir, to, flags);
    pthread_mutex_lock(&lock);
    int done = fails(F_RENAME) ? -1 : syscall(SYS_renameat2, from_dir, from, to_dir, to, flags), error = errno;
    if (!done) {
        if (path && path2 && !flags) note(RENAME, -1, 0, 0, path, path2, 0, 0, 0);
        else unknown("a rename across the folder's border");
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}
int rename(const char *from, const char *to) { return renamed(AT_FDCWD, from, AT_FDCWD, to, 0); }
int renameat(int from_dir, const char *from, int to_dir, const char *to) { return renamed(from_dir, from, to_dir, to, 0); }
int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) { return renamed(from_dir, from, to_dir, to, flags); }

static int removed(int dir, const char *name, int flags) {
    char buffer[PATH_MAX];
    const char *path = below(dir, name, buffer);
    if (!path) return syscall(SYS_unlinkat, dir, name, flags);
    pthread_mutex_lock(&lock);
    int done = fails(F_REMOVE) ? -1 : syscall(SYS_unlinkat, dir, name, flags), error = errno;
    if (!done) note(flags & AT_REMOVEDIR ? RMDIR : UNLINK, -1, 0, 0, path, 0, 0, 0, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}
int unlinkat(int dir, const char *name, int flags) { return removed(dir, name, flags); }
int unlink(const char *name) { return removed(AT_FDCWD, name, 0); }
int rmdir(const char *name) { return removed(AT_FDCWD, name, AT_REMOVEDIR); }

static int made(int dir, const char *name, mode_t mode) {
    char buffer[PATH_MAX];
    const char *path = below(dir, name, buffer);
    if (!path) return syscall(SYS_mkdirat, dir, name, mode);
    pthread_mutex_lock(&lock);
    int done = fails(F_CREATE) ? -1 : syscall(SYS_mkdirat, dir, name, mode), error = errno;
    if (!done) note(MKDIR, -1, 0, 0, path, 0, 0, 0, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}
int mkdirat(int dir, const char *name, mode_t mode) { return made(dir, name, mode); }
int mkdir(const char *name, mode_t mode) { return made(AT_FDCWD, name, mode); }

/* What the model does not know is said, so that no test believes it. */

#define REFUSED(condition, what) do { if (condition) { pthread_mutex_lock(&lock); unknown(what); pthread_mutex_unlock(&lock); } } while (0)
int fallocate64(int fd, int mode, off64_t at, off64_t size) { REFUSED(is_tracked(fd), "fallocate"); return syscall(SYS_fallocate, fd, mode, at, size); }
int fallocate(int fd, int mode, off_t at, off_t size) { return fallocate64(fd, mode, at, size); }
int posix_fallocate64(int fd, off64_t at, off64_t size) { REFUSED(is_tracked(fd), "fallocate"); return syscall(SYS_fallocate, fd, 0, at, size) ? errno : 0; }
int posix_fallocate(int fd, off_t at, off_t size) { return posix_fallocate64(fd, at, size); }
ssize_t copy_file_range(int from, off64_t *from_at, int to, off64_t *to_at, size_t size, unsigned flags) { REFUSED(is_tracked(to), "copy_file_range"); return syscall(SYS_copy_file_range, from, from_at, to, to_at, size, flags); }
ssize_t sendfile64(int to, int from, off64_t *at, size_t size) { REFUSED(is_tracked(to), "sendfile"); return syscall(SYS_sendfile, to, from, at, size); }
int link(const char *from, const char *to) { char buffer[PATH_MAX]; REFUSED(below(AT_FDCWD, to, buffer), "link"); return syscall(SYS_linkat, AT_FDCWD, from, AT_FDCWD, to, 0); }
int symlink(const char *from, const char *to) { char buffer[PATH_MAX]; REFUSED(below(AT_FDCWD, to, buffer), "symlink"); return syscall(SYS_symlinkat, from, AT_FDCWD, to); }
int truncate64(const char *name, off64_t size) { char buffer[PATH_MAX]; REFUSED(below(AT_FDCWD, name, buffer), "truncate by name"); return syscall(SYS_truncate, name, size); }
int truncate(const char *name, off_t size) { return truncate64(name, size); }
void *mmap64(void *where, size_t size, int protection, int flags, int fd, off64_t at) { REFUSED(is_tracked(fd) && (flags & MAP_SHARED) && (protection & PROT_WRITE), "mmap"); return (void *)syscall(SYS_mmap, where, size, protection, flags, fd, at); }
