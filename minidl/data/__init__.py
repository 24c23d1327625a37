"""Data: batches from arrays, and data sets of real images."""

from minidl.data.augment import random_crop as random_crop
from minidl.data.augment import random_flip as random_flip
from minidl.data.digits import digits as digits
from minidl.data.loader import DataLoader as DataLoader
from minidl.data.mnist import fashion_mnist as fashion_mnist
from minidl.data.mnist import mnist as mnist
